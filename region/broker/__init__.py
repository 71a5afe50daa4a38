"""From pending evaluations to committed plans: the leader's work."""
