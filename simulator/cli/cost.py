"""``tailcast cost``: what a month of requests costs, on one side or two."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from simulator.cli.cost_show import print_report
from simulator.cli.plan import parse_weight
from simulator.cli.sources import TraceSource, load
from simulator.cli.trace_commands import of_variant
from simulator.cost import ARCHITECTURES, GATEWAYS, load_prices
from simulator.cost.beside import LOG_BYTES, Beside
from simulator.cost.monthly import HOURS_A_MONTH, Standing, monthly_cost
from simulator.cost.sides import Assumed, Numbers, Side, Terms, side_of_numbers, side_of_trace
from simulator.errors import ParameterError
from simulator.platform import BASELINE, OPTIMIZED
from simulator.trace import Trace

EXIT: Final = {"pass": 0, "fail": 1, "inconclusive": 3}
_TRACE = TraceSource()
_FILE = click.Path(path_type=Path)
_COUNT = click.IntRange(min=0)
_AMOUNT = click.FloatRange(min=0)
_TOKENS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")

_Decorated = Callable[..., Any]


def _request_options(command: _Decorated) -> _Decorated:
    """Add what describes a request, once for the first side and once for the candidate."""
    each: list[tuple[str, Any, str]] = [
        ("model", str, "Bedrock model or profile id"),
        ("memory", click.IntRange(min=1), "memory in MB"),
        ("duration-ms", _AMOUNT, "time in the handler, INIT apart; describes requests without a trace"),
        ("init-ms", _AMOUNT, "INIT of a cold start"),
        ("cold-share", str, "share of cold starts, such as 2%"),
        ("input-tokens", _COUNT, "tokens in, without cached ones; of rows that record none"),
        ("output-tokens", _COUNT, "tokens out"),
        ("cache-read-tokens", _COUNT, "tokens read from the prompt cache"),
        ("cache-write-tokens", _COUNT, "tokens written to it"),
        ("pc", _AMOUNT, "provisioned concurrency"),
    ]
    for name, kind, text in reversed(each):
        like = f"The candidate's {text.split(';')[0]}.  [default: as the first side]"
        command = click.option(f"--candidate-{name}", type=kind, help=like)(command)
        command = click.option(f"--{name}", type=kind, help=f"{text[0].upper()}{text[1:]}.")(command)
    return command


@click.command("cost")
@click.option("--trace", "first_trace", type=_TRACE, help="Trace of what serves today.")
@click.option("--candidate", type=_TRACE, help="Trace of what is to replace it.")
@click.option("--variant", help="Only these requests of --trace.")
@click.option("--candidate-variant", help="Only these of --candidate; without it, of --trace.")
@click.option("--monthly", type=click.FloatRange(min=0, min_open=True), required=True, help="Requests a month.")
@_request_options
@click.option("--pc-hours", type=click.FloatRange(0, HOURS_A_MONTH), default=HOURS_A_MONTH, show_default=True,
              help="Hours a month for which provisioned concurrency is asked for.")  # fmt: skip
@click.option("--gpu-usd-per-month", type=click.FloatRange(min=0, min_open=True), help="A machine to break even with.")
@click.option("--budget", type=_AMOUNT, help="USD a month that the last side must stay within; decides the exit code.")
@click.option("--response-cache", is_flag=True, help="Answers are kept in DynamoDB.")
@click.option("--cache-hits", help="Share of requests that it would answer, such as 20%; implies --response-cache.")
@click.option("--gateway", type=click.Choice(list(GATEWAYS)), default=GATEWAYS[0], show_default=True)
@click.option("--log-bytes", type=_AMOUNT, default=LOG_BYTES, show_default=True, help="Log of one request.")
@click.option("--log-retention-days", type=_AMOUNT, default=14.0, show_default=True, help="For how long it is kept.")
@click.option("--custom-metrics", type=_AMOUNT, default=0.0, show_default=True,
              help="Metrics that a side sends all month, at a price each.")  # fmt: skip
@click.option("--prices", type=_FILE, help="TOML with prices of your own, laid over the shipped ones.")
@click.option("--architecture", type=click.Choice(list(ARCHITECTURES)), default=ARCHITECTURES[0], show_default=True)
@click.option("--seed", type=_COUNT, default=0, show_default=True, help="Of the resampling behind the intervals.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def cost_command(ctx: click.Context, /, **options: Any) -> None:
    r"""Price a request and a month of them: Lambda with INIT, gateway, tokens, cache, logs, provisioned concurrency.

    From traces, with 95 % intervals by resampling their rows; or from numbers, without intervals. With two sides also
    the difference; with the price of a machine also how many requests a month make it the cheaper one.

    Exits with 0, or with --budget: 0 where the last side's month stays within it, 1 where not, 3 where the interval
    holds it.

    \b
    Examples:
      tailcast cost --trace baseline.parquet --candidate optimized.parquet --monthly 1000000
      tailcast cost --trace rollout.parquet --variant baseline --candidate-variant optimized --monthly 2e6 --pc 2
      tailcast cost --memory 512 --duration-ms 10000 --model global.anthropic.claude-sonnet-4-5-20250929-v1:0 \
          --input-tokens 3000 --output-tokens 2000 --monthly 1000 --gpu-usd-per-month 734
      tailcast cost --trace before.parquet --candidate-model us.amazon.nova-lite-v1:0 --monthly 1e6 --budget 100
    """
    prices = load_prices(options["prices"])
    hits = 0.0 if options["cache_hits"] is None else parse_weight(options["cache_hits"], "--cache-hits")
    terms = Terms(
        prices=prices,
        architecture=options["architecture"],
        gateway=options["gateway"],
        beside=Beside(
            log_bytes=options["log_bytes"],
            log_retention_days=options["log_retention_days"],
            response_cache=options["response_cache"] or hits > 0,
        ),
        cache_hits=hits,
    )
    sides = _sides(options, terms)
    report = monthly_cost(
        [(side, _standing(side, _of_side(options, number == 1), options)) for number, side in enumerate(sides)],
        options["monthly"],
        prices=prices,
        architecture=options["architecture"],
        machine_usd=options["gpu_usd_per_month"],
        seed=options["seed"],
    )
    verdict = None if options["budget"] is None else report.verdict(options["budget"])
    if options["as_json"]:
        basis = {"as_of": str(prices.as_of), "region": prices.region}
        budget = {"budget_usd": options["budget"], "verdict": verdict}
        click.echo(json.dumps({"prices": basis, **report.to_json(), **budget}, indent=2))
    else:
        print_report(report, prices, budget_usd=options["budget"], verdict=verdict)
    ctx.exit(0 if verdict is None else EXIT[verdict])


def _sides(options: Mapping[str, Any], terms: Terms) -> list[Side]:
    first, second = _of_side(options, False), _of_side(options, True)
    wanted = any(value is not None for name, value in options.items() if name.startswith("candidate"))
    if options["first_trace"] is None:
        if options["candidate"] is not None or options["variant"] or options["candidate_variant"]:
            raise ParameterError("--candidate, --variant and --candidate-variant go with --trace; give it")
        names = (BASELINE, OPTIMIZED) if wanted else (BASELINE,)
        return [
            side_of_numbers(_numbers(values), name, terms) for name, values in zip(names, (first, second), strict=False)
        ]
    for option in ("duration_ms", "init_ms", "cold_share"):
        if first[option] is not None or second[option] is not None:
            raise ParameterError(
                f"--{option.replace('_', '-')} describes requests without a trace; leave out one of the two"
            )
    recorded = load(options["first_trace"])
    sides = [_traced(recorded, options["variant"], str(options["first_trace"]), BASELINE, first, terms)]
    if not wanted:
        return sides
    place = options["first_trace"] if options["candidate"] is None else options["candidate"]
    other = recorded if options["candidate"] is None else load(options["candidate"])
    variant = options["candidate_variant"]
    if options["candidate"] is None and variant is None:
        variant = options["variant"]
    if options["candidate"] is not None:
        # What is said of the first trace says nothing of another one's model.
        second |= {"model": options["candidate_model"]}
    return [*sides, _traced(other, variant, str(place), OPTIMIZED, second, terms)]


def _traced(trace: Trace, variant: str | None, origin: str, name: str, values: Mapping[str, Any], terms: Terms) -> Side:
    assumed = Assumed(model=values["model"], memory_mb=values["memory"], **{kind: values[kind] for kind in _TOKENS})
    return side_of_trace(of_variant(trace, variant, origin), name, terms, assumed)


def _of_side(options: Mapping[str, Any], candidate: bool) -> dict[str, Any]:
    """Give the options that describe one side's requests; the candidate's own where they are given."""
    names = ("model", "memory", "duration_ms", "init_ms", "cold_share", "pc", *_TOKENS)
    own = {name: options[f"candidate_{name}"] if candidate else None for name in names}
    return {name: options[name] if own[name] is None else own[name] for name in names}


def _numbers(values: Mapping[str, Any]) -> Numbers:
    for option in ("memory", "duration_ms"):
        if values[option] is None:
            raise ParameterError(f"give --trace, or describe a request: --{option.replace('_', '-')} is missing")
    cold = values["cold_share"]
    return Numbers(
        model=values["model"],
        memory_mb=values["memory"],
        duration_ms=values["duration_ms"],
        init_ms=values["init_ms"] or 0.0,
        provisioned=bool(values["pc"]),
        cold_share=0.0 if cold is None else parse_weight(cold, "--cold-share"),
        **{kind: values[kind] or 0 for kind in _TOKENS},
    )


def _standing(side: Side, values: Mapping[str, Any], options: Mapping[str, Any]) -> Standing:
    return Standing(
        provisioned=values["pc"] or 0.0,
        memory_mb=side.memory_mb,
        provisioned_hours=options["pc_hours"],
        custom_metrics=options["custom_metrics"],
    )
