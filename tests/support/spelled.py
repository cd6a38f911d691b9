"""The names of the outputs' columns in snake case, by hand: what tests expect."""

_CAMELS = {
    "BussTime": "buss_time",
    "StoreCode": "store_code",
    "BaseAmount": "base_amount",
    "TransType": "trans_type",
    "SaleType": "sale_type",
}


def snake(name: str) -> str:
    """The name without blanks and capitals."""
    return _CAMELS.get(name, name.replace(" ", "_").lower())
