"""Around the loading of third-party code: its changes to the process undone, its errors given a reason."""

import contextlib
import hashlib
import logging
import os
import random
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alignsec.ground.reasons import Excluded, chain, device_fault, message, out_of_memory, told

CONNECT_TIMEOUT = 30.0  # seconds without an answer, for sockets that set none of their own
_LOCAL = ("localhost", "127.", "::1", "0.0.0.0")


@dataclass
class Trace:
    """What loading did: global settings changed (and restored), hosts not reached, files of weights."""

    changed: list[str] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)
    weight_files: dict[str, str] = field(default_factory=dict)  # name -> SHA-256


@contextlib.contextmanager
def contained() -> Iterator[Trace]:
    """Contain a plugin while it loads.

    Restored afterwards: default dtype and device, gradient mode, threads, TF32 and cuDNN switches, random
    states, ssl context, working folder, environment, warning filters, log level, socket timeout. Where the
    environment has ALIGNSEC_OFFLINE, connections to other machines are refused at once.

    Raises
    ------
    Excluded
        For every error (`sys.exit` as well), with the reason: what runs inside is the plugin's, or handles
        it.
    """
    trace, process = Trace(), os.getpid()
    with (
        _streams_kept(),
        _restored(trace),
        _watched_network(trace),
        _programs_offline(),
        _watched_weights(trace),
    ):
        try:
            yield trace
        except Excluded:
            raise
        except SystemExit as error:
            raise Excluded(f"import error: it called sys.exit({told(error).partition(': ')[2]})") from error
        except Exception as error:
            if out_of_memory(error):
                raise Excluded("out of memory") from error
            if device_fault(error):
                raise Excluded(f"device fault: {told(error)}") from error
            raise reason_for(error, trace) from error
        finally:
            if os.getpid() != process:
                os._exit(0)  # a copy that the plugin forked: the attack, and its ledger, are the original's


# Settings of the process: name, how to read it, how to set it.
def _settings() -> list[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    import torch

    def attribute(owner: Any, name: str) -> tuple[str, Callable[[], Any], Callable[[Any], Any]]:
        label = f"{getattr(owner, '__name__', type(owner).__name__)}.{name}"
        return label, lambda: getattr(owner, name), lambda value: setattr(owner, name, value)

    def stand(place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)  # it may have been removed, and libraries ask where they are
        os.chdir(place)

    def environ(value: dict[str, str]) -> None:
        os.environ.clear()
        os.environ.update(value)

    return [
        ("default dtype", torch.get_default_dtype, torch.set_default_dtype),
        ("default device", torch.get_default_device, torch.set_default_device),
        ("gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
        ("threads", torch.get_num_threads, torch.set_num_threads),
        (
            "matmul precision",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        attribute(torch.backends.cuda.matmul, "allow_tf32"),
        attribute(torch.backends.cudnn, "allow_tf32"),
        attribute(torch.backends.cudnn, "benchmark"),
        attribute(torch.backends.cudnn, "deterministic"),
        (
            "deterministic algorithms",
            torch.are_deterministic_algorithms_enabled,
            torch.use_deterministic_algorithms,
        ),
        ("socket timeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
        ("log level", lambda: logging.root.level, logging.root.setLevel),
        attribute(ssl, "_create_default_https_context"),
        ("working folder", Path.cwd, stand),
        ("environment", lambda: dict(os.environ), environ),
    ]


@contextlib.contextmanager
def _restored(trace: Trace) -> Iterator[None]:
    import numpy as np
    import torch

    settings = [(name, read(), read, write) for name, read, write in _settings()]
    # the legacy generator is the one that plugins seed
    numpy_state = np.random.get_state()  # noqa: NPY002
    states = random.getstate(), torch.random.get_rng_state()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for name, before, read, write in settings:
            try:
                same = bool(read() == before)
            except Exception:  # noqa: BLE001 - a working folder that is gone, an attribute that was deleted
                same = False
            if not same:
                trace.changed.append(name)
                with contextlib.suppress(OSError):  # a folder that cannot be made again
                    write(before)
        random.setstate(states[0])
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.random.set_rng_state(states[1])


@contextlib.contextmanager
def _streams_kept() -> Iterator[None]:
    """Standard input, output and error are afterwards what they were before, if a plugin closed them."""
    copies = {}
    for number in (0, 1, 2):
        with contextlib.suppress(OSError):
            copies[number] = os.dup(number)
    streams = {name: getattr(sys, name) for name in ("stdin", "stdout", "stderr")}
    try:
        yield
    finally:
        for number, copy in copies.items():
            with contextlib.suppress(OSError):
                os.dup2(copy, number)
                os.close(copy)
        for number, (name, stream) in enumerate(streams.items()):
            if getattr(stream, "closed", False) and number in copies:
                stream = os.fdopen(number, "w" if number else "r", closefd=False)
            setattr(sys, name, stream)


@contextlib.contextmanager
def _watched_network(trace: Trace) -> Iterator[None]:
    offline = bool(os.environ.get("ALIGNSEC_OFFLINE"))
    getaddrinfo, connect, timeout = socket.getaddrinfo, socket.socket.connect, socket.getdefaulttimeout()

    def failed(host: Any, error: OSError) -> None:
        text = host.decode() if isinstance(host, bytes) else str(host)
        if text not in trace.unreached:
            trace.unreached.append(text)
        raise error

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else str(host or "localhost")
        if offline and not text.startswith(_LOCAL):
            failed(host, socket.gaierror(socket.EAI_FAIL, f"offline: {text} is not asked for"))
        try:
            return getaddrinfo(host, *args, **kwargs)
        except OSError as error:
            return failed(host, error)

    def open_connection(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if offline and not str(host).startswith(_LOCAL):
            failed(host, ConnectionRefusedError(f"offline: {host} is not connected to"))
        try:
            connect(self, address)
        except BlockingIOError:
            raise
        except OSError as error:
            failed(host, error)

    socket.getaddrinfo = resolve
    socket.socket.connect = open_connection  # type: ignore[method-assign,assignment]
    if timeout is None:
        socket.setdefaulttimeout(CONNECT_TIMEOUT)
    try:
        yield
    finally:
        socket.getaddrinfo = getaddrinfo
        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.setdefaulttimeout(timeout)


@contextlib.contextmanager
def _programs_offline() -> Iterator[None]:
    """Programs that a plugin starts (wget, curl, git) find a closed port as their proxy."""
    if not os.environ.get("ALIGNSEC_OFFLINE"):
        yield
        return
    proxies = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "ftp", "all")}
    begin, system = subprocess.Popen.__init__, os.system

    def begin_offline(self: Any, *args: Any, **kwargs: Any) -> None:
        kwargs["env"] = {**(kwargs.get("env") or os.environ), **proxies}
        begin(self, *args, **kwargs)

    subprocess.Popen.__init__ = begin_offline  # type: ignore[method-assign]
    os.system = lambda command: subprocess.call(command, shell=True)
    try:
        yield
    finally:
        subprocess.Popen.__init__ = begin  # type: ignore[method-assign]
        os.system = system


@contextlib.contextmanager
def _watched_weights(trace: Trace) -> Iterator[None]:
    import torch

    places: list[tuple[Any, str]] = [(torch, "load")]
    with contextlib.suppress(ImportError):
        import safetensors.torch

        places.append((safetensors.torch, "load_file"))

    def watch(function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(file: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(file, str | os.PathLike):
                with contextlib.suppress(OSError, ValueError), Path(file).open("rb") as handle:
                    trace.weight_files[Path(file).name] = hashlib.file_digest(handle, "sha256").hexdigest()
            return function(file, *args, **kwargs)

        return watched

    originals = [getattr(owner, name) for owner, name in places]
    for (owner, name), original in zip(places, originals, strict=True):
        setattr(owner, name, watch(original))
    try:
        yield
    finally:
        for (owner, name), original in zip(places, originals, strict=True):
            setattr(owner, name, original)


def timm_from_cache() -> None:
    """Offline, have timm look for a pretrained model's weights before it builds the network, not after.

    Drawing the random weights of a large transformer takes a minute, for nothing where the file is not there.
    Does nothing where timm is not imported yet, or the machine may be asked.
    """
    timm: Any = sys.modules.get("timm")
    if timm is None or not os.environ.get("ALIGNSEC_OFFLINE"):
        return
    from huggingface_hub import try_to_load_from_cache

    create = timm.create_model

    def create_model(model_name: str, pretrained: bool = False, *args: Any, **kwargs: Any) -> Any:
        known = timm.get_pretrained_cfg(model_name) if pretrained and ":" not in model_name else None
        hub = getattr(known, "hf_hub_id", None)
        if hub and not getattr(known, "url", None) and not getattr(known, "file", None):
            files = (
                "model.safetensors",
                "open_clip_model.safetensors",
                "pytorch_model.bin",
                "open_clip_pytorch_model.bin",
            )
            names = (getattr(known, "hf_hub_filename", None), *files)
            if not any(isinstance(try_to_load_from_cache(hub, n), str) for n in names if n):
                raise Excluded(
                    f"weights unavailable: {hub} is not in the Hugging Face hub's cache, and we are offline"
                )
        return create(model_name, pretrained, *args, **kwargs)

    if create.__module__ != __name__:
        timm.create_model = create_model


# Words that libraries use for a file that they could not get, lower case.
_NETWORK = (
    "http error", "urlopen", "max retries", "connection", "couldn't connect", "could not connect", "offline",
    "nocredentials", "unable to locate credentials", "endpoint", "failed to download", "cannot download",
    "failed to retrieve", "cannot retrieve", "not able to reach", "localentrynotfound", "name resolution",
    "proxy", "no internet", "timed out", "can't load", "does not appear to have a file", "git clone",
)  # fmt: skip
# Files of weights, as plugins name them.
WEIGHT_SUFFIXES = (".pt", ".pth", ".tar", ".ckpt", ".bin", ".safetensors", ".npz", ".pkl", ".h5", ".zip")


def reason_for(error: BaseException, trace: Trace) -> Excluded:
    """The exclusion that an error raised while a plugin loaded stands for."""
    causes, text = chain(error), told(error, 280)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing(error)
    for one in causes:
        if _is_unsafe(one):
            return Excluded(f"unsafe weights: {_unsafe_detail(one)}")
    if trace.unreached:
        # whatever the plugin made of it, the first thing that went wrong is the connection
        return Excluded(f"weights unavailable: no connection to {', '.join(trace.unreached[:3])} ({text})")
    for one in causes:
        if isinstance(one, ModuleNotFoundError) and one.name:
            return _missing(one)
        if _is_network(one):
            return Excluded(f"weights unavailable: {told(one, 280)}")
    if isinstance(error, ImportError):
        # libraries raise it for an optional package; the name is in the message only
        needs = "requires" in message(error) or "install" in message(error)
        return Excluded(f"missing package: {told(error, 280)}" if needs else f"import error: {text}")
    if "Error(s) in loading state_dict" in message(error):
        return Excluded(f"weights of another network: {text}")
    if _is_corrupt(error):
        return Excluded(f"weights damaged: {text}")
    return Excluded(f"import error: {text}")


def _missing(error: ModuleNotFoundError) -> Excluded:
    name = str(error.name)
    parent = name.rpartition(".")[0]
    if parent and parent.partition(".")[0] in sys.modules:
        # the package is there and lacks a part: another version, or the plugin's own file
        return Excluded(f"import error: {told(error, 280)}")
    return Excluded(f"missing package: {name.partition('.')[0]}")


def _is_unsafe(error: BaseException) -> bool:
    return type(error).__name__ == "UnpicklingError" and "weights_only" in message(error).lower().replace(
        " ", "_"
    )


def _unsafe_detail(error: BaseException) -> str:
    for line in message(error).splitlines():
        if "GLOBAL" in line or "Unsupported" in line:
            return line.strip()[:200]
    return told(error, 280)


def _is_network(error: BaseException) -> bool:
    from urllib.error import URLError

    if isinstance(error, URLError | ConnectionError | TimeoutError | socket.gaierror):
        return True
    if type(error).__module__.partition(".")[0] in (
        "requests",
        "urllib3",
        "botocore",
        "huggingface_hub",
        "httpx",
    ):
        return True
    if isinstance(error, FileNotFoundError) and str(error.filename or "").endswith(WEIGHT_SUFFIXES):
        return True
    return any(word in f"{type(error).__name__}: {message(error)}".lower() for word in _NETWORK)


def _is_corrupt(error: BaseException) -> bool:
    text = message(error)
    return (
        type(error).__name__ in ("UnpicklingError", "BadZipFile", "SafetensorError")
        or "PytorchStreamReader" in text
        or isinstance(error, EOFError)
    )
