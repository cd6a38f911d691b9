"""A model payload ``{kmeans, scaler, features}`` from other people's pickles, checked (docs/contract.md, section 6)."""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from blitz.errors import PayloadError
from blitz.segmentation import pickles
from blitz.segmentation.pickles import Recorded

if TYPE_CHECKING:  # scikit-learn takes two seconds to import: only who loads a model pays for it
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import StandardScaler

log = logging.getLogger(__name__)

_NUMERIC = re.compile(r"[<>=|]?[fiub][1248]")
_TEXT = re.compile(r"[<>=|]?U\d{1,4}")
_BYTE_ORDERS: dict[str, Literal["<", ">", "="]] = {"<": "<", ">": ">", "|": "=", "=": "="}
_KEYS = ("kmeans", "scaler", "features")


@dataclass(frozen=True)
class Payload:
    """A model that may be used: fresh scikit-learn objects, the features in the model's order, the file's SHA-256."""

    kmeans: "KMeans"
    scaler: "StandardScaler"
    features: tuple[str, ...]
    sha256: str
    sklearn_version: str


def load_payload(data: bytes, source: str, sha256: str | None = None, strict: bool = False) -> Payload:
    """The payload in ``data``; ``source`` names it in messages.

    Raises PayloadError for another SHA-256 than the pinned one, anything in the pickle that a payload does not need,
    shapes that disagree, numbers that are not finite, a zero scale, repeated features, and under ``strict`` for another
    scikit-learn than the running one (a warning otherwise). Feature names inside the models that differ from
    ``features`` are a warning; the same names in another order are an error.
    """
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise PayloadError(f"{source}: its SHA-256 is {digest}, not the pinned {sha256}; replace the file or the pin")
    body = pickles.read(data, source)
    if not isinstance(body, dict) or not set(_KEYS) <= set(body):
        raise PayloadError(f"{source}: not a payload; expected a dict with {', '.join(_KEYS)}")
    reader = _Builder(source)
    features = reader.features(body["features"])
    kmeans_state = reader.state(body["kmeans"], pickles.KMEANS, "kmeans")
    scaler_state = reader.state(body["scaler"], pickles.SCALER, "scaler")
    version = reader.version({"kmeans": kmeans_state, "scaler": scaler_state}, strict)
    kmeans = reader.kmeans(kmeans_state, features)
    scaler = reader.scaler(scaler_state, features)
    return Payload(kmeans, scaler, features, digest, version)


class _Builder:
    """Builds fresh models from recorded data; every refusal names the source and the place."""

    def __init__(self, source: str) -> None:
        self.source = source

    def refuse(self, problem: str) -> PayloadError:
        return PayloadError(f"{self.source}: {problem}")

    def state(self, value: Any, name: str, place: str) -> Mapping[str, Any]:
        if not isinstance(value, Recorded) or value.name != name or not isinstance(value.state, dict):
            what = value.name if isinstance(value, Recorded) else type(value).__name__
            raise self.refuse(f"{place} is {what}, not a fitted {name}")
        return value.state

    def features(self, value: Any) -> tuple[str, ...]:
        names = self.texts(value, "features")
        if not names or not all(isinstance(name, str) and name for name in names):
            raise self.refuse("features must be a list of column names")
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise self.refuse(f"features names {', '.join(repeated)} more than once")
        return tuple(names)

    def texts(self, value: Any, place: str) -> list[str]:
        """Names from a list, a tuple, or an array of text (an object array only where every element is text)."""
        if isinstance(value, Recorded):
            if value.name == pickles.ARRAY and isinstance(value.state, tuple) and len(value.state) == 5:
                cells = value.state[4]
                if isinstance(cells, list) and all(isinstance(cell, str) for cell in cells):
                    return list(cells)
            return [str(name) for name in self.array(value, place, _TEXT)]
        if isinstance(value, (list, tuple)):
            return [self.text(name, place) for name in value]
        raise self.refuse(f"{place} is {type(value).__name__}, not a list of names")

    def text(self, value: Any, place: str) -> Any:
        """A name: Python's own text, or numpy's as a Python one."""
        if not isinstance(value, Recorded) or value.name != pickles.SCALAR or len(value.arguments) != 2:
            return value
        kind, data = self.dtype(value.arguments[0], place, _TEXT), value.arguments[1]
        if not isinstance(data, bytes) or kind.itemsize != len(data):
            raise self.refuse(f"{place} has a damaged name")
        return str(np.frombuffer(data, kind)[0])

    def version(self, states: Mapping[str, Mapping[str, Any]], strict: bool) -> str:
        """The scikit-learn that trained both models; another than the running one is a warning or an error."""
        import sklearn

        versions = {place: str(state.get("_sklearn_version", "unknown")) for place, state in states.items()}
        for place, version in versions.items():
            if version != sklearn.__version__:
                problem = f"{place} was trained with scikit-learn {version}, here runs {sklearn.__version__}"
                if strict:
                    raise self.refuse(f"{problem}; retrain it, or unset run.strict_models")
                log.warning("%s: %s", self.source, problem)
                break
        return versions["kmeans"]

    def kmeans(self, state: Mapping[str, Any], features: tuple[str, ...]) -> "KMeans":
        from sklearn.cluster import KMeans

        centres = self.numbers(state, "cluster_centers_", "kmeans")
        if centres.ndim != 2 or centres.shape[0] == 0 or centres.shape[1] != len(features):
            raise self.refuse(f"kmeans has centres of shape {centres.shape}, but there are {len(features)} features")
        clusters = self.scalar(state.get("n_clusters"), "kmeans.n_clusters")
        if clusters != centres.shape[0]:
            raise self.refuse(f"kmeans has {centres.shape[0]} centres, but n_clusters is {clusters!r}")
        self.same_names(state, features, "kmeans")
        model = KMeans(n_clusters=int(centres.shape[0]))
        model.cluster_centers_ = np.ascontiguousarray(centres)
        model.n_features_in_ = len(features)
        model._n_threads = 1  # set by fit; a Spark task has one core
        return model

    def scaler(self, state: Mapping[str, Any], features: tuple[str, ...]) -> "StandardScaler":
        from sklearn.preprocessing import StandardScaler

        with_mean, with_std = (self.scalar(state.get(name), f"scaler.{name}") for name in ("with_mean", "with_std"))
        model = StandardScaler(with_mean=bool(with_mean), with_std=bool(with_std))
        self.same_names(state, features, "scaler")
        for name, is_used in (("mean_", model.with_mean), ("scale_", model.with_std)):
            if not is_used:
                setattr(model, name, None)
                continue
            values = self.numbers(state, name, "scaler")
            if values.shape != (len(features),):
                raise self.refuse(f"scaler has {name} of shape {values.shape}, but there are {len(features)} features")
            setattr(model, name, values)
        if model.with_std and (model.scale_ == 0).any():
            zero = ", ".join(features[at] for at in np.flatnonzero(model.scale_ == 0))
            raise self.refuse(f"scaler has a zero scale for {zero}")
        model.var_ = None if model.scale_ is None else model.scale_**2
        model.n_features_in_ = len(features)
        return model

    def same_names(self, state: Mapping[str, Any], features: tuple[str, ...], place: str) -> None:
        """Compare the names that a model was fitted on with ``features``; a model fitted on an array has none."""
        recorded = state.get("feature_names_in_")
        names = None if recorded is None else tuple(self.texts(recorded, f"{place}.feature_names_in_"))
        if names is None or names == features:
            return
        if sorted(names) == sorted(features):
            raise self.refuse(
                f"{place} was trained on the features in another order: {', '.join(names)}, but features lists "
                f"{', '.join(features)}; list them in the order of the training"
            )
        log.warning(
            "%s: %s was trained on columns of other names (%s) than features lists (%s); they are taken "
            "in the order of features",
            self.source, place, ", ".join(names), ", ".join(features),
        )  # fmt: skip

    def scalar(self, value: Any, place: str) -> Any:
        """A number or flag: Python's own, or numpy's as a Python one."""
        if not isinstance(value, Recorded):
            return value
        if value.name != pickles.SCALAR or len(value.arguments) != 2 or not isinstance(value.arguments[1], bytes):
            raise self.refuse(f"{place} is {value.name}, not a number")
        kind = self.dtype(value.arguments[0], place, _NUMERIC)
        if kind.itemsize != len(value.arguments[1]):
            raise self.refuse(f"{place} is damaged: {len(value.arguments[1])} bytes for a number of {kind.itemsize}")
        return np.frombuffer(value.arguments[1], kind)[0].item()

    def numbers(self, state: Mapping[str, Any], name: str, place: str) -> NDArray[Any]:
        """A numeric array of a model's state, as finite doubles."""
        value = state.get(name)
        if not isinstance(value, Recorded):
            raise self.refuse(f"{place} has no array {name}: it is not fitted")
        array = self.array(value, f"{place}.{name}", _NUMERIC).astype(np.float64)
        if not np.isfinite(array).all():
            raise self.refuse(f"{place}.{name} contains numbers that are not finite")
        return array

    def array(self, value: Recorded, place: str, allowed: re.Pattern[str]) -> NDArray[Any]:
        """A recorded array as a real one: the bytes, the type and the shape must agree."""
        if value.name == pickles.ARRAY and isinstance(value.state, tuple) and len(value.state) == 5:
            _, shape, dtype, is_fortran, cells = value.state
        elif value.name == pickles.BUFFER and len(value.arguments) >= 4:
            cells, dtype, shape, order = value.arguments[:4]
            is_fortran = order == "F"
        else:
            raise self.refuse(f"{place} is {value.name}, not an array")
        kind = self.dtype(dtype, place, allowed)
        is_shape = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
        if not is_shape or not isinstance(cells, (bytes, bytearray)):
            raise self.refuse(f"{place} is not an array of numbers")
        if prod(shape) * kind.itemsize != len(cells):
            raise self.refuse(f"{place} declares shape {shape}, but has {len(cells)} bytes")
        return np.frombuffer(bytes(cells), kind).reshape(shape, order="F" if is_fortran else "C")

    def dtype(self, value: Any, place: str, allowed: re.Pattern[str]) -> np.dtype[Any]:
        text = value.arguments[0] if isinstance(value, Recorded) and value.arguments else None
        if not isinstance(value, Recorded) or value.name != pickles.DTYPE or not isinstance(text, str):
            raise self.refuse(f"{place} has no type")
        if not allowed.fullmatch(text):
            raise self.refuse(f"{place} is an array of type {text}, which a payload does not need")
        order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "="
        if order not in _BYTE_ORDERS:
            raise self.refuse(f"{place} has an unknown byte order")
        return np.dtype(text.lstrip("<>=|")).newbyteorder(_BYTE_ORDERS[order])
