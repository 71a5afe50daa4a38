"""A region's servers as one quorum: how they find each other, agree, and change."""
