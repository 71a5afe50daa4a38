"""etcd behind the port `hanse.store`: client, leadership, members, maintenance."""
