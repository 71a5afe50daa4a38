"""Task drivers that come with Hanse."""
