"""What is to be done, decided from what was read. Pure: no clock, no network, no database."""
