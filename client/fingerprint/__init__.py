"""What this machine is and has, as node attributes and resources with Nomad's names."""
