"""Payloads from strangers: real ones work as they did, hostile ones are refused by name and nothing runs."""

import builtins
import functools
import gzip
import os
import pickle
import struct
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.preprocessing import StandardScaler

from blitz.errors import PayloadError
from blitz.segmentation.payload import load_payload

NAMES = ["a", "b", "c"]
ROWS = np.random.RandomState(0).rand(60, 3) * 10


@functools.cache
def fitted(has_names: bool) -> bytes:
    """A scaler and a model of ROWS, fitted once; pickled, so that each test changes models of its own."""
    rows = pd.DataFrame(ROWS, columns=NAMES) if has_names else ROWS
    scaler = StandardScaler().fit(rows)
    return pickle.dumps((scaler, KMeans(3, n_init=2, random_state=1).fit(scaler.transform(rows))))


def body(*, has_names: bool = False, **changes):
    scaler, kmeans = pickle.loads(fitted(has_names))
    return {"kmeans": kmeans, "scaler": scaler, "features": NAMES, **changes}


def load(value, protocol=4, **options):
    data = value if isinstance(value, bytes) else pickle.dumps(value, protocol)
    return load_payload(data, "s3://models/m.pkl", **options)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("features", [NAMES, tuple(NAMES), np.array(NAMES), np.array(NAMES, dtype=object)])
@pytest.mark.parametrize("has_names", [False, True], ids=["array", "frame"])
def test_a_real_payload_predicts_as_it_did(protocol, features, has_names):
    original = body(has_names=has_names, features=features)
    payload = load(original, protocol)
    new = np.random.RandomState(1).rand(500, 3) * 12
    expected = original["kmeans"].predict((new - original["scaler"].mean_) / original["scaler"].scale_)
    assert (payload.kmeans.predict(payload.scaler.transform(new)) == expected).all()
    assert payload.features == tuple(NAMES)


def test_numpy_1_module_names_and_a_random_state_are_read():
    original = body()
    original["kmeans"].set_params(random_state=np.random.RandomState(5))
    data = pickle.dumps(original, 3)
    assert b"numpy._core.multiarray" in data
    payload = load(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert payload.kmeans.n_clusters == 3


def test_a_pinned_hash_and_another_version(caplog):
    data = pickle.dumps(body(), 4)
    digest = load(data).sha256
    assert load(data, sha256=digest.upper()).sha256 == digest
    with pytest.raises(PayloadError, match="SHA-256"):
        load(data, sha256="0" * 64)
    from sklearn import __version__

    older = data.replace(__version__.encode(), b"1.6.9")
    assert load(older).sklearn_version == "1.6.9"
    assert "trained with scikit-learn 1.6.9" in caplog.text
    with pytest.raises(PayloadError, match=r"1\.6\.9"):
        load(older, strict=True)


class Runs:
    """Pickles to a call of ``function(*arguments)``."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class LookAlike(KMeans):
    """A class of another module under a familiar name."""


LookAlike.__module__, LookAlike.__qualname__ = "blitz_models", "KMeans"


def hostile(marker):
    touch = f"touch {marker}"
    return {
        "os.system": Runs(os.system, touch),
        "eval": Runs(builtins.eval, f"open({str(marker)!r}, 'w')"),
        "getattr": Runs(getattr, "x", "format"),
        "numpy.load": Runs(np.load, str(marker)),
        "functools": functools.partial(os.system, touch),
        "numpy.f2py": Runs(__import__("numpy.lib._npyio_impl", fromlist=["x"]).genfromtxt, str(marker)),
        "nested": Runs(pickle.loads, pickle.dumps(Runs(os.system, touch))),
        "minibatch": MiniBatchKMeans(2),
        "class": os._wrap_close,
    }


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("name", list(hostile("x")))
@pytest.mark.parametrize("place", ["kmeans", "scaler", "features", "extra"])
def test_code_is_refused_by_name_and_nothing_runs(tmp_path, protocol, name, place):
    marker = tmp_path / "ran"
    with pytest.raises(PayloadError, match=r"s3://models/m\.pkl: refused \S+\.\S+"):
        load({**body(), place: hostile(marker)[name]}, protocol)
    assert not marker.exists()


def test_a_look_alike_class_is_refused():
    fake = LookAlike(3, n_init=1).fit(ROWS)
    sys.modules["blitz_models"] = type(sys)("blitz_models")
    sys.modules["blitz_models"].KMeans = LookAlike
    try:
        data = pickle.dumps(body(kmeans=fake), 4)
    finally:
        del sys.modules["blitz_models"]
    with pytest.raises(PayloadError, match=r"blitz_models\.KMeans"):
        load(data)


def test_attributes_smuggled_into_a_model_do_not_survive():
    original = body()
    original["kmeans"].predict = "not a method"
    original["scaler"].transform = [1]
    payload = load(original)
    assert len(payload.kmeans.predict(payload.scaler.transform(ROWS))) == len(ROWS)


def gadget(text):
    return b"\x80\x04" + text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gadget(b"\x82\x01."), "EXT1"),
        (gadget(b"\x84\x01\x00\x00\x00."), "EXT4"),
        (gadget(b"\x8c\x01xQ."), "BINPERSID"),
        (gadget(b"(ios\nsystem\n."), "INST"),
        (gadget(b"\x8c\x15sklearn.cluster._kmeans\x8c\x1fKMeans.__init__.__globals__.get\x93."), "refused|readable|truncated"),
        (gadget(b"Nr\xff\xff\xff\x7f."), "memo"),
        (gadget(b"\x8e" + struct.pack("<Q", 1 << 30) + b"x."), "truncated"),
        (gadget(b"cnumpy.core.multiarray\n_reconstruct\nb."), "readable"),
        (b"\x80\x02}.", "protocol 2"),
        (b"(dp0\n.", "protocol 0"),
        (b"", "truncated"),
        (b"not a pickle", "damaged"),
        (gadget(b"}.") + b"more", "after the end of the pickle"),
    ],
)  # fmt: skip
def test_opcodes_that_no_payload_needs_are_refused(data, message):
    with pytest.raises(PayloadError, match=message):
        load(data)


def test_every_truncation_is_refused():
    data = pickle.dumps(body(), 4)
    for end in range(0, len(data) - 1, 97):
        with pytest.raises(PayloadError):
            load(data[:end])


def changed(**states):
    value = body()
    for path, array in states.items():
        model, name = path.split("__")
        setattr(value[model], name, array)
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (body(features=["a", "b"]), r"centres of shape \(3, 3\), but there are 2 features"),
        (body(features=["a", "b", "a"]), "a more than once"),
        (body(features=["a", "b", 3]), "column names"),
        (body(features="abc"), "not a list"),
        (body(features=[None] * 3), "column names"),
        ({"kmeans": 1, "scaler": 2}, "not a payload"),
        ([1, 2], "not a payload"),
        (body(kmeans=StandardScaler().fit(ROWS)), "kmeans is StandardScaler"),
        (body(scaler=None), "scaler is NoneType"),
        (body(kmeans=KMeans(3)), "not fitted"),
        (changed(kmeans__cluster_centers_=np.full((3, 3), np.nan)), "not finite"),
        (changed(kmeans__cluster_centers_=np.array([[1, "a", None]] * 3, dtype=object)), "O8|array"),
        (changed(kmeans__n_clusters=5), "3 centres, but n_clusters is 5"),
        (changed(scaler__scale_=np.array([1.0, 0.0, 2.0])), "zero scale for b"),
        (changed(scaler__mean_=np.array([1.0, np.inf, 2.0])), "not finite"),
        (changed(scaler__mean_=np.array([1.0, 2.0])), r"mean_ of shape \(2,\)"),
        (
            changed(scaler__feature_names_in_=np.array(["b", "a", "c"], dtype=object)),
            "another order: b, a, c, but features lists a, b, c",
        ),
    ],
)
def test_models_that_cannot_be_right_are_refused(value, message):
    with pytest.raises(PayloadError, match=message):
        load(value)


def test_an_array_that_declares_more_than_it_holds_is_refused():
    data = pickle.dumps(body(), 4)
    assert b"K\x03K\x03\x86" in data
    huge = data.replace(b"K\x03K\x03\x86", b"J\x00\x00\x00\x40K\x03\x86", 1)  # 1 Gi rows
    frame = struct.unpack("<Q", huge[3:11])[0]
    huge = huge[:3] + struct.pack("<Q", frame + 3) + huge[11:]
    with pytest.raises(PayloadError, match="declares shape"):
        load(huge)


def public_payload(frame_names=None, **settings):
    """A payload as public code makes it, and its own scores of new rows: settings of the scaler, names of the frame."""
    rows = pd.DataFrame(ROWS, columns=frame_names) if frame_names else ROWS
    scaler = StandardScaler(**settings)
    scaler.fit(rows)
    kmeans = KMeans(np.argmax([0.1, 0.2, 0.9]) + 2, n_init=2, random_state=1)
    kmeans.fit(scaler.transform(rows))
    return {"kmeans": kmeans, "scaler": scaler, "features": NAMES}


def own_scores(body, new):
    names = getattr(body["scaler"], "feature_names_in_", None)
    frame = new if names is None else pd.DataFrame(new, columns=names)
    return body["kmeans"].predict(body["scaler"].transform(frame))


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (None, {"with_mean": np.False_}),
        (None, {"with_std": np.bool_(False)}),
        (["x0", "x1", "x2"], {}),
        (NAMES, {"with_mean": np.bool_(True)}),
    ],
    ids=["no mean", "no std", "other names", "same names"],
)
def test_scores_equal_scikit_learns_own(protocol, names, settings):
    original = public_payload(names, **settings)
    new = np.random.RandomState(2).rand(400, 3) * 12 - 2
    payload = load(original, protocol)
    assert (payload.kmeans.predict(payload.scaler.transform(new)) == own_scores(original, new)).all()
    assert payload.kmeans.n_clusters == 4


def test_a_scaler_with_pandas_output_scores_as_it_did():
    scaler = StandardScaler().set_output(transform="pandas")
    frame = pd.DataFrame(ROWS, columns=NAMES)
    kmeans = KMeans(np.int64(3), n_init=2, random_state=1).fit(scaler.fit_transform(frame))
    payload = load({"kmeans": kmeans, "scaler": scaler, "features": [np.str_(name) for name in NAMES]})
    assert payload.features == tuple(NAMES)
    expected = kmeans.predict(scaler.transform(frame))
    assert (payload.kmeans.predict(payload.scaler.transform(ROWS)) == expected).all()


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("order", ["C", "F"])
def test_models_of_single_precision_score_as_they_did(protocol, order):
    """Trained on float32 in either memory order, with a k that numpy computed and extra numbers in the payload."""
    rows = np.asarray(np.random.RandomState(3).rand(400, 3) * 10, dtype=np.float32, order=order)
    scaler = StandardScaler().fit(rows)
    scores = {k: -abs(k - 5) for k in range(2, 8)}
    best = np.array(list(scores))[np.argmax(list(scores.values()))]
    kmeans = KMeans(n_clusters=best, n_init=2, random_state=1).fit(scaler.transform(rows))
    assert kmeans.cluster_centers_.dtype == np.float32 and isinstance(kmeans.n_clusters, np.int64)
    payload = load(
        {"kmeans": kmeans, "scaler": scaler, "features": NAMES, "k": best, "score": np.float32(0.5)}, protocol
    )
    new = np.random.RandomState(4).rand(500, 3).astype(np.float32) * 12
    expected = kmeans.predict(scaler.transform(new))
    assert (payload.kmeans.predict(payload.scaler.transform(new.astype(np.float64))) == expected).all()
    assert payload.kmeans.n_clusters == 5


def test_models_fitted_on_frames_of_other_names_throughout(caplog):
    """The scaler on the columns before the renames, the clusters on the scaled frame, as set_output gives it."""
    old = ["x0", "x1", "x2"]
    frame = pd.DataFrame(ROWS, columns=old)
    scaler = StandardScaler(with_mean=np.False_).set_output(transform="pandas")
    kmeans = KMeans(4, n_init=2, random_state=1).fit(scaler.fit_transform(frame))
    payload = load({"kmeans": kmeans, "scaler": scaler, "features": NAMES})
    new = np.random.RandomState(5).rand(400, 3) * 12 - 2
    expected = kmeans.predict(scaler.transform(pd.DataFrame(new, columns=old)))
    assert (payload.kmeans.predict(payload.scaler.transform(new)) == expected).all()
    assert [record.message.split(": ")[1].split()[0] for record in caplog.records] == ["kmeans", "scaler"]


def test_what_other_savers_write_is_refused_with_the_way_out():
    way_out = r"save it with pickle\.dump\(payload, file, protocol=4\)"
    with pytest.raises(PayloadError, match=rf"it is compressed \(gzip\).*{way_out}"):
        load(gzip.compress(pickle.dumps(body(), 4)))
    with pytest.raises(PayloadError, match="pickle protocol 2; save the payload with protocol 3, 4 or 5"):
        load(body(), protocol=2)
    with pytest.raises(PayloadError, match=r"refused pandas\.core\.indexes\.base\._new_Index"):
        load(body(features=pd.Index(NAMES)))


def test_other_names_inside_the_models_are_a_warning(caplog):
    load(public_payload(["x0", "x1", "x2"]))
    assert "scaler was trained on columns of other names (x0, x1, x2) than features lists (a, b, c)" in caplog.text


def test_a_scalar_of_another_kind_is_refused():
    value = body()
    value["scaler"].with_mean = np.array([True, False])
    with pytest.raises(PayloadError, match=r"scaler\.with_mean is array|scaler\.with_mean is buffer"):
        load(value)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_a_joblib_or_compressed_file_is_called_that(tmp_path, compress):
    import joblib

    joblib.dump(body(), tmp_path / "m.joblib", compress=compress)
    what = "it is compressed" if compress else "it is a joblib file"
    with pytest.raises(PayloadError, match=rf"{what}.*save it with pickle\.dump\(payload, file, protocol=4\)"):
        load((tmp_path / "m.joblib").read_bytes())
