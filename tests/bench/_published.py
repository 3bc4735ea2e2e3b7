"""The published table of six Bedrock models (us-west-2, 2026), as facts: TTFT of three runs and mean total in ms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    name: str
    model_id: str
    ttft_ms: tuple[float, float, float]
    mean_total_ms: float
    cross_region: bool
    prompt_cache: str
    first_apart: bool
    """Whether run 1 took 1.5 times the slowest other or longer: a first-run spike, which stands apart."""


TABLE = (
    Published("nova-micro", "us.amazon.nova-micro-v1:0", (549, 334, 339), 616, True, "yes", True),
    Published("gpt-oss-20b", "openai.gpt-oss-20b-1:0", (429, 540, 456), 1297, False, "no", False),
    Published("minimax-m2.5", "minimax.minimax-m2.5", (526, 500, 982), 1955, False, "no", False),
    Published("qwen3-next-80b", "qwen.qwen3-next-80b-a3b", (1112, 575, 586), 2080, False, "no", True),
    Published(
        "claude-haiku-4.5",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        (1971, 916, 4057),
        1970,
        True,
        "not-reached",
        False,
    ),
    Published("deepseek-v3.2", "deepseek.v3.2", (17653, 1223, 4983), 11232, False, "no", True),
)
