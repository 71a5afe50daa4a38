"""Jobs as values: reading bodies, admitting, comparing. Pure."""
