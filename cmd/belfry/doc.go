// Command belfry runs the notification service and talks to one that runs.
//
//	belfry serve            run the service
//	belfry send             send a notification, to one user or to millions
//	belfry cancel           take back what is not sent yet of a notification
//	belfry subscriptions    list and remove where users can be reached
//	belfry keys             API keys, and the VAPID key
//	belfry tree             the live actor tree
//	belfry health           whether the service is alive, or ready
//	belfry simulate         stand in for a push service
//	belfry migrate          bring the database's schema up to date
//	belfry version
//
// Every flag can be given as an environment variable; belfry <command> --help
// names it.
package main
