"""Speed, with what it is compared to: `make bench`."""
