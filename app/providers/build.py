"""One deployment of gateway.yaml, completed by the catalog: its lane, address, key, window, price and abilities."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.config.addresses import BaseUrl, confidential_fault, is_local, parse_base_url
from app.config.faults import alternatives, suggestion
from app.config.known import Known
from app.domain import Capability, Deployment, Label, LaneName, Price
from app.providers.catalog import REGISTERED
from app.providers.translate.facts import PROVIDERS as TRANSLATED
from app.providers.translate.facts import capabilities, default_base_url, unsupported
from app.providers.wire_dial import verified_tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.config.faults import Fault
    from app.config.specs import DeploymentSpec, GatewayFile
    from app.providers.catalog import Catalog, Entry

# One server, several names for it.
_ALIASES: Final = {
    "vllm": "hosted_vllm",
    "llama.cpp": "llamafile",
    "llama_cpp": "llamafile",
    "custom_openai": "openai",
    "ai21": "ai21_chat",
    "cohere": "cohere_chat",
}
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "cohere_chat": ("COHERE_API_KEY", "CO_API_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
}
# By convention of AWS's own tools; the session token is only there for temporary keys.
_AWS: Final[Mapping[str, tuple[str, ...]]] = {
    "aws_region_name": ("AWS_REGION", "AWS_REGION_NAME", "AWS_DEFAULT_REGION"),
    "aws_access_key_id": ("AWS_ACCESS_KEY_ID",),
    "aws_secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "aws_session_token": ("AWS_SESSION_TOKEN",),
}
_OPTIONAL: Final = "aws_session_token"

# What Ollama itself takes on a machine without a GPU. It is sent with every call, so that the window in force is the one that is planned with.
_NUM_CTX: Final = 4_096
_OLLAMA: Final = "ollama_chat"
_LOADING_S: Final = 600.0  # a model of 40 GB from a disk of 100 MB/s takes 400; LLM_TIMEOUT holds beside it

# What runs on machines of one's own serves few at a time. Ollama itself answers one to four and lets the others wait in the order they came; servers that
# batch (vLLM, SGLang) take 256 by default, and each gets slower long before.
_SLOTS_OF_OLLAMA: Final = 8
_SLOTS: Final = 64
_CHAT_MODES: Final = ("chat", "completion")
_SECRET: Final = re.compile(r"[!-~]+")  # what a header can carry


@dataclass(slots=True)
class Built:
    """What became of one deployment. `deployment` is None where a fault or an unset variable stands in the way; `inactive` says why it does not serve."""

    spec: DeploymentSpec
    lane: LaneName | None = None
    deployment: Deployment | None = None
    inactive: str = ""
    embeds: bool = False
    known: Known = field(default_factory=Known)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def build(spec: DeploymentSpec, file: GatewayFile, catalog: Catalog) -> Built:
    """Complete one deployment."""
    return _Builder(spec, file, catalog).build()


class _Builder:
    def __init__(self, spec: DeploymentSpec, file: GatewayFile, catalog: Catalog) -> None:
        self._spec = spec
        self._file = file
        self._catalog = catalog
        self._out = Built(spec)
        self._missing = list(spec.missing)
        self._given = [name for names in spec.variables.values() for name in names if name not in spec.missing]
        self._provider = _ALIASES.get(spec.provider, spec.provider)

    def build(self) -> Built:
        """Return what became of the deployment."""
        self._out.lane = lane = self._lane() if self._spec.provider else None
        if lane is None:
            self._out.inactive = _not_set(self._missing)
            self._out.known = Known(missing=tuple(dict.fromkeys(self._missing)))
            return self._out
        params = self._params()
        base = self._base_url(params)
        entry = self._catalog.entry(self._provider, self._spec.model)
        self._note_mode(entry)
        key = self._key()
        window = self._window(entry)
        self._out.known = known = self._known(lane, entry, window)
        if base is not None:
            self._check_address(base, key)
        self._out.inactive = _not_set(self._missing)
        if self._out.inactive:
            self._out.warnings.clear()
        if base is None or self._out.inactive:
            return self._out
        self._out.deployment = Deployment(
            name=self._spec.name,
            provider=self._provider,
            model=self._spec.model,
            lane=lane,
            clearance=self._spec.clearance,
            base_url=base.text,
            address=base.address,
            api_key=key,
            context_window=window,
            max_output_tokens=self._spec.max_output_tokens or (entry.max_output_tokens if entry and self._provider != _OLLAMA else None),
            num_ctx=window if self._provider == _OLLAMA else None,
            price=known.price,
            capabilities=known.capabilities,
            allow_fields=self._spec.allow_fields,
            params=params,
            slots=self._slots(),
            limits=self._spec.limits,
            first_token_s=self._first_token_s(),
            ca_file=self._ca_file(base),
        )
        return self._out

    def _known(self, lane: LaneName, entry: Entry | None, window: int | None) -> Known:
        return Known(
            lane=lane,
            given=tuple(dict.fromkeys(self._given)),
            missing=tuple(dict.fromkeys(self._missing)),
            literal=bool(self._spec.literal_secrets),
            context_window=window,
            price=self._spec.price or self._price(entry),
            capabilities=self._capabilities(lane, entry),
        )

    def _first_token_s(self) -> float | None:
        written = self._spec.first_token_s
        if written is not None and written <= 0:
            self._fault("first_token_s", "first_token_s must be more than 0; write the seconds that loading the model may take")
        return written or (_LOADING_S if self._provider == _OLLAMA else None)

    def _ca_file(self, base: BaseUrl) -> str | None:
        """Return the path of its own authorities, relative to gateway.yaml's folder as it is written, once they could be read."""
        written = self._spec.ca_file
        if written is None:
            return None
        path = (Path(self._file.path).parent / written).as_posix()
        if base.address.scheme != "https":
            self._fault("ca_file", "ca_file is for https; write https in api_base, or leave ca_file out")
        try:
            verified_tls(path)
        except ssl.SSLError:
            self._fault("ca_file", f"ca_file is no list of certificates in PEM form: {path}")
        except OSError as exc:
            self._fault("ca_file", f"ca_file cannot be read ({exc.strerror}): {path}")
        return path

    def _note_mode(self, entry: Entry | None) -> None:
        if entry is not None and entry.mode == "embedding":
            self._out.embeds = True
        elif entry is not None and entry.mode not in _CHAT_MODES:
            self._warn("model", f"LiteLLM's registry has this model for {entry.mode.replace('_', ' ')}, not for chat completions")

    def _fault(self, key: str, sentence: str) -> None:
        self._out.faults.append(self._file.fault(self._spec.line_of(key), f"{self._spec.name}: {sentence}"))

    def _warn(self, key: str, sentence: str) -> None:
        self._out.warnings.append(f"{self._file.path}:{self._spec.line_of(key)}: {self._spec.name}: {sentence}")

    def _lane(self) -> LaneName | None:
        written = self._spec.provider
        if written == "ollama":
            self._warn("model", "ollama/ is Ollama's old completion interface; it is taken as ollama_chat/")
            self._provider = _OLLAMA
        if self._provider in TRANSLATED:
            return LaneName.TRANSLATE
        if self._provider in self._catalog.endpoints:
            return LaneName.RELAY
        if written in self._catalog.excluded:
            self._fault("model", f"{written} cannot be used: {self._catalog.excluded[written]}")
        elif self._catalog.knows_provider(written):
            self._fault("model", str(unsupported(written)))
        else:
            known = [*self._catalog.endpoints, *TRANSLATED, *_ALIASES]
            near = suggestion(written, known)
            nearest = near if "did you mean" in near else "; a server that speaks OpenAI's dialect is openai/MODEL with an api_base"
            self._fault("model", f'unknown provider "{written}"{nearest}')
        return None

    def _params(self) -> dict[str, str]:
        params = dict(self._spec.params)
        if self._provider == "azure" and "api_version" not in self._spec.lines:
            self._fault("model", "azure needs `api_version`, such as 2024-10-21")
        if self._provider == "bedrock":
            self._complete_aws(params)
        return params

    def _complete_aws(self, params: dict[str, str]) -> None:
        """Take what the file leaves out from AWS's own variables; an API key of Bedrock's stands in for the pair of keys."""
        for key, variables in _AWS.items():
            if key in self._spec.lines or ("api_key" in self._spec.lines and key != "aws_region_name"):
                continue
            value = self._first_set(variables)
            if value is not None:
                params[key] = value
            elif key != _OPTIONAL and not (key == "aws_region_name" and "api_base" in self._spec.lines):
                self._missing.append(variables[0])

    def _key(self) -> str | None:
        """Return the deployment's key; a provider's own variable is read only for the provider's own address."""
        spec = self._spec
        if spec.api_key is not None:
            if not _SECRET.fullmatch(spec.api_key):
                self._fault("api_key", f"api_key{self._origin('api_key')} holds a space or a character that no key has")
            return spec.api_key
        if "api_key" in spec.lines or "api_base" in spec.lines:
            return None
        endpoint = self._catalog.endpoints.get(self._provider)
        variables = _KEYS.get(self._provider) or (endpoint.keys if endpoint else ())
        value = self._first_set(variables)
        if variables and value is None:
            self._missing.append(variables[0])
        return value

    def _first_set(self, variables: tuple[str, ...]) -> str | None:
        found = next((name for name in variables if self._file.env.get(name, "").strip()), None)
        if found is None:
            return None
        self._given.append(found)
        return self._file.env[found].strip()

    def _base_url(self, params: Mapping[str, str]) -> BaseUrl | None:
        if "api_base" in self._spec.lines and self._spec.api_base is None:
            return None  # its variable is unset, or a fault says what is wrong
        text = self._spec.api_base or self._default_url(params)
        if text is None:
            if not self._missing:
                self._fault("model", f"{self._provider} has no address of its own; write `api_base`")
            return None
        try:
            base = parse_base_url(text)
        except ValueError as exc:
            self._fault("api_base", f"api_base{self._origin('api_base')} {exc}")
            return None
        return self._own_path(base)

    def _default_url(self, params: Mapping[str, str]) -> str | None:
        if self._provider in TRANSLATED:
            return default_base_url(self._provider, params)
        return self._catalog.endpoints[self._provider].base_url

    def _own_path(self, base: BaseUrl) -> BaseUrl:
        """Hold a base URL to the path that its lane adds to."""
        for ending in ("/v1", "/api") if self._provider == _OLLAMA else ():
            if base.path.endswith(ending):
                self._warn("api_base", f"{ending} is left out of api_base: Ollama's own interface is used, which refuses a prompt that is too long")
                return parse_base_url(base.text.removesuffix(ending))
        if self._provider == "azure" and base.path:
            self._fault("api_base", "api_base must be the resource alone, such as https://NAME.openai.azure.com")
        elif self._provider in self._catalog.endpoints and self._provider != "azure" and not base.path and is_local(base.address, self._file.local_networks):
            self._warn("api_base", f"api_base has no path; most servers answer below /v1: write {base.text}/v1")
        return base

    def _origin(self, key: str) -> str:
        names = self._spec.variables.get(key)
        return f" ({alternatives(names, quote=False, last='and')})" if names else ""

    def _check_address(self, base: BaseUrl, key: str | None) -> None:
        local = is_local(base.address, self._file.local_networks)
        if self._spec.clearance is Label.CONFIDENTIAL:
            why = confidential_fault(base.address, self._file.local_networks, self._file.trusted_hosts)
            if why is not None:
                self._fault("api_base", f"cannot be cleared for confidential: {why}")
            elif self._runs_in_a_cloud():
                self._fault("model", "cannot be cleared for confidential: the model runs in its maker's cloud; name one that runs here, or lower the clearance")
        if base.address.scheme == "http" and not local:
            self._warn("api_base", "requests and keys go over the network unencrypted; write https")
        if not local:
            for name in self._spec.literal_secrets:
                self._warn(name, f"{name} stands in the file itself; write ${{NAME}} and set the variable")
        if key is None and base.address.scheme == "https" and "api_base" in self._spec.lines and "api_key" not in self._spec.lines and not self._spec.params:
            self._warn("api_base", "has an api_base and no api_key, so that no key is sent; write `api_key` if the server wants one")

    def _runs_in_a_cloud(self) -> bool:
        """Say whether Ollama passes this model's requests on to its maker's servers: by its name, at any of its interfaces, so under any provider."""
        return self._spec.model.lower().endswith("cloud")

    def _window(self, entry: Entry | None) -> int | None:
        spec = self._spec
        if self._provider != _OLLAMA:
            if spec.num_ctx is not None:
                self._fault("num_ctx", "num_ctx is for Ollama alone; write context_window")
            return spec.context_window or (entry.context_window if entry else None)
        if spec.context_window is not None:
            self._fault("context_window", "write num_ctx alone: Ollama's window is what each call asks for")
        if spec.num_ctx is None and "num_ctx" not in spec.lines:
            self._warn(
                "model", f"num_ctx is not set, so that the window is {_NUM_CTX} tokens and longer prompts go elsewhere; write what the machine's memory allows"
            )
        return spec.num_ctx or _NUM_CTX

    def _slots(self) -> int | None:
        """Return how many requests are let in at a time: of what may hold confidential ones, which have nowhere else to go, it is never boundless."""
        if self._spec.slots is not None or self._spec.clearance < Label.CONFIDENTIAL:
            return self._spec.slots
        return _SLOTS_OF_OLLAMA if self._provider == _OLLAMA else _SLOTS

    def _price(self, entry: Entry | None) -> Price | None:
        if entry is None and self._provider == _OLLAMA and not self._runs_in_a_cloud():
            return Price(0, 0)
        return entry.price if entry else None

    def _capabilities(self, lane: LaneName, entry: Entry | None) -> frozenset[Capability]:
        """Return what the file says, or else what the lane can carry and the model is known to do; of an unknown model the provider decides."""
        if self._spec.capabilities is not None:
            return self._spec.capabilities | {Capability.STREAM}
        carried = capabilities(self._provider, self._spec.model) if lane is LaneName.TRANSLATE else frozenset(Capability)
        if entry is None:
            return carried
        lacking = REGISTERED - entry.capabilities
        if lane is LaneName.TRANSLATE:
            lacking -= {Capability.JSON_SCHEMA}  # the lane makes it of a forced tool, or of Ollama's grammar
        return carried - lacking


def _not_set(variables: list[str]) -> str:
    names = list(dict.fromkeys(variables))
    return f"{alternatives(names, quote=False, last='and')} {'is' if len(names) == 1 else 'are'} not set" if names else ""
