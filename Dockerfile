# Builds Belfry and puts it, alone, into an image that runs as nobody in
# particular. Data goes to /data.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /belfry ./cmd/belfry \
 && mkdir /data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /belfry /usr/bin/belfry
COPY --from=build --chown=65532:65532 /data /data
ENV BELFRY_LISTEN=:8080 BELFRY_DATA_DIR=/data
USER 65532:65532
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["/usr/bin/belfry"]
CMD ["serve"]
