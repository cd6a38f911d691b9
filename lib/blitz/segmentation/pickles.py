"""Reading a pickle without running anything that it says (contract: micro-segments, payloads).

The allow-listed classes and functions are never called: each name stands for a recorder of what the pickle gives it.
What comes out is plain data, from which payload.py builds arrays and models of its own. Before that, the opcodes are
read one by one, so that anything else is refused by name and place, and nothing is allocated on a pickle's word.
"""

import io
import pickle
import pickletools
from dataclasses import dataclass, field
from typing import Any

from blitz.errors import PayloadError

PROTOCOLS = (3, 4, 5)
_OPCODES = frozenset(
    [
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "POP",
        "POP_MARK",
        "DUP",
        "MEMOIZE",
        "BINPUT",
        "LONG_BINPUT",
        "BINGET",
        "LONG_BINGET",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "LONG4",
        "BINFLOAT",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
        "SHORT_BINBYTES",
        "BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
        "EMPTY_LIST",
        "APPEND",
        "APPENDS",
        "LIST",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "EMPTY_DICT",
        "DICT",
        "SETITEM",
        "SETITEMS",
        "GLOBAL",
        "STACK_GLOBAL",
        "NEWOBJ",
        "REDUCE",
        "BUILD",
    ]
)


@dataclass
class Recorded:
    """What a pickle gave to one allow-listed name: its arguments and its state."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


@dataclass(frozen=True)
class Name:
    """An allow-listed class or function; calling it only records."""

    name: str

    def __call__(self, *arguments: Any) -> Recorded:
        """The call as a record; nothing is executed."""
        return Recorded(self.name, arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError(f"state for the function {self.name}")


KMEANS, SCALER = "KMeans", "StandardScaler"
ARRAY, BUFFER, DTYPE, SCALAR, NDARRAY, RANDOM = "array", "buffer", "dtype", "scalar", "ndarray", "random"
ALLOWED: dict[tuple[str, str], str] = {
    ("sklearn.cluster._kmeans", "KMeans"): KMEANS,
    ("sklearn.preprocessing._data", "StandardScaler"): SCALER,
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): DTYPE,
    # Where a model was trained with a RandomState of its own; it plays no part in prediction and is dropped.
    ("numpy.random._pickle", "__randomstate_ctor"): RANDOM,
    ("numpy.random._pickle", "__bit_generator_ctor"): RANDOM,
    ("numpy.random._mt19937", "MT19937"): RANDOM,
    **{(f"{core}.multiarray", "_reconstruct"): ARRAY for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.multiarray", "scalar"): SCALAR for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.numeric", "_frombuffer"): BUFFER for core in ("numpy.core", "numpy._core")},
}
# NEWOBJ calls cls.__new__(cls, …): these names must then be classes, so each has a recording class of its own.
_CLASSES = {KMEANS, SCALER, NDARRAY, DTYPE}


def _recording_class(name: str) -> type:
    def new(cls: type, *arguments: Any) -> Any:
        made: Any = object.__new__(cls)
        made.name, made.arguments, made.state = name, arguments, None
        return made

    def init(self: Any, *arguments: Any) -> None:
        """Everything was recorded by ``new``."""

    return type(name, (Recorded,), {"__new__": new, "__init__": init})


_STAND_INS: dict[str, Any] = {
    name: _recording_class(name) if name in _CLASSES else Name(name) for name in ALLOWED.values()
}


class _Reader(pickle.Unpickler):
    def __init__(self, data: bytes, source: str) -> None:
        super().__init__(io.BytesIO(data))
        self.source = source

    def find_class(self, module: str, name: str) -> Any:
        stand_in = ALLOWED.get((module, name))
        if stand_in is None:
            raise PayloadError(f"{self.source}: refused {module}.{name}: a payload does not need it; nothing was run")
        return _STAND_INS[stand_in]

    def persistent_load(self, pid: Any) -> Any:
        raise PayloadError(f"{self.source}: refused a persistent id; nothing was run")


_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x5d\x00\x00": "lzma",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"\x78\x01": "zlib",
    b"\x78\x5e": "zlib",
    b"\x78\x9c": "zlib",
    b"\x78\xda": "zlib",
}


def _check_container(data: bytes, source: str) -> None:
    """Refuse what is a sound file of another kind by its name, with the way to a pickle."""
    way_out = "load it where it was made and save it with pickle.dump(payload, file, protocol=4)"
    kind = next((name for magic, name in _COMPRESSED.items() if data.startswith(magic)), None)
    if kind:
        raise PayloadError(
            f"{source}: it is compressed ({kind}), as joblib.dump(compress=…) writes it; a payload must be a plain "
            f"pickle: {way_out}"
        )
    if b"joblib.numpy_pickle" in data[:1_000_000]:
        raise PayloadError(f"{source}: it is a joblib file; a payload must be a plain pickle: {way_out}")


def read(data: bytes, source: str) -> Any:
    """The plain data of a pickle, with Recorded objects where it names allow-listed classes and functions.

    Raises PayloadError naming what was refused and its byte position.
    """
    _check_container(data, source)
    _check_opcodes(data, source)
    try:
        return _Reader(data, source).load()
    except PayloadError:
        raise
    except Exception as error:  # whatever malformed bytes make the unpickler stumble over: TypeError, KeyError …
        raise PayloadError(f"{source}: not a readable pickle ({type(error).__name__}: {str(error)[:120]})") from error


@dataclass
class _Scan:
    source: str
    texts: list[str] = field(default_factory=list)
    operations: int = 0

    def check(self, opcode: Any, argument: Any, position: int) -> None:
        self.operations += 1
        name = opcode.name
        if name == "PROTO" and argument not in PROTOCOLS:
            raise PayloadError(f"{self.source}: pickle protocol {argument}; save the payload with protocol 3, 4 or 5")
        if self.operations == 1 and name != "PROTO":
            raise PayloadError(f"{self.source}: pickle protocol 0 or 1, or not a pickle; save it with protocol 3 to 5")
        if name not in _OPCODES:
            raise PayloadError(f"{self.source}: refused opcode {name} at byte {position}; nothing was run")
        if name in ("BINPUT", "LONG_BINPUT") and argument > self.operations:
            raise PayloadError(f"{self.source}: refused memo index {argument} at byte {position}: beyond what was read")
        if name == "GLOBAL":
            module, _, attribute = argument.partition(" ")
            self._check_name(module, attribute, position)
        if name == "STACK_GLOBAL" and len(self.texts) >= 2:
            # Only a first look, for the place: names may also come from the memo; find_class decides.
            module, attribute = self.texts[-2:]
            if "." in module and (module, attribute) not in ALLOWED and module in {m for m, _ in ALLOWED}:
                self._check_name(module, attribute, position)
        if isinstance(argument, str):
            self.texts.append(argument)

    def _check_name(self, module: str, attribute: str, position: int) -> None:
        if (module, attribute) not in ALLOWED:
            raise PayloadError(
                f"{self.source}: refused {module}.{attribute} at byte {position}: a payload does not need it; "
                "nothing was run"
            )


def _check_opcodes(data: bytes, source: str) -> None:
    scan = _Scan(source)
    end = 0
    try:
        for opcode, argument, position in pickletools.genops(data):
            scan.check(opcode, argument, position or 0)
            end = (position or 0) + 1
    except ValueError as error:
        raise PayloadError(f"{source}: truncated or damaged after byte {end} ({str(error)[:120]})") from error
    if end != len(data):
        raise PayloadError(f"{source}: {len(data) - end} extra bytes after the end of the pickle at byte {end}")
