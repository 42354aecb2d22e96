"""What is known of a bed, and what is said of it. No Qt, no clock."""
