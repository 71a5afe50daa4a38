"""Stand-ins for time, the network and the store. Shipped: plugin authors test with them too."""
