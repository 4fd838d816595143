package push

// MergePatch applies a JSON Merge Patch (RFC 7396 §2) to what JSON was decoded
// to: objects member by member, null takes away, everything else replaces. It
// may change the target. Decode with json.Decoder.UseNumber, so that no digit is
// lost.
func MergePatch(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	members, ok := target.(map[string]any)
	if !ok {
		members = make(map[string]any, len(changes))
	}
	for name, value := range changes {
		if value == nil {
			delete(members, name)
		} else {
			members[name] = MergePatch(members[name], value)
		}
	}
	return members
}
