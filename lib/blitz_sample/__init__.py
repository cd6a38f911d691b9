"""Sample raw data in the users' layout: customers with habits, every edge of the contract, models for every plan."""
