"""Everything that is painted beside the waves."""
