"""`status`, `reload`, `pause`, `resume`, `drain`: speak to the running service over its control socket."""

from __future__ import annotations

import re

import click

from milter import app
from milter.adapters import files
from milter.errors import FileError
from milter.fronts import control
from milter.fronts.cli import output
from milter.fronts.cli.options import config_option, json_option
from milter.settings.model import Settings

_UNITS = {"s": 1, "m": 60, "h": 3_600}
_LENGTH = re.compile(r"([0-9]{1,6})([smh])")
DATA_DIR = re.compile(r"""^(?:\{|[^#\n]*,)?\s*"?data_dir"?:\s*["']?([^\s"',}#]+)""", re.MULTILINE)


class Length(click.ParamType[float]):
    """A length of time: `90s`, `30m`, `2h`."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        read = _LENGTH.fullmatch(str(value))
        seconds = int(read[1]) * _UNITS[read[2]] if read else 0
        if not 0 < seconds <= control.LONGEST_PAUSE:
            self.fail(f"{value!r} is no length of time up to a day; write 90s, 30m or 2h", param, ctx)
        return float(seconds)


def _ask(config: str | None, **request: object) -> control.Answer:
    return control.ask(_settings(config, is_told=request["do"] == "reload"), request)


def _settings(config: str | None, *, is_told: bool) -> Settings:
    """Those of the file. A file that is broken must not part an operator from the running service: then where its socket lies is all that is read.

    `is_told`: the service itself is going to say what is wrong.
    """
    try:
        return app.load_settings(config).settings
    except FileError as wrong:
        found = DATA_DIR.search(files.read(config or str(files.site_settings())).decode("utf-8", "replace"))
        if not is_told:
            for problem in wrong.problems:
                click.echo(str(problem), err=True)
            click.echo("the settings file is wrong now; a running service keeps what it had", err=True)
        return Settings(data_dir=found[1]) if found else Settings()


@click.command()
@config_option
@json_option
def status(config: str | None, *, as_json: bool) -> None:
    """Say how the running service is."""
    answer = _ask(config, do="status")
    if as_json:
        output.json_line(answer)
        return
    _say_sets(answer)
    _say_work(answer)
    for event in answer["last_errors"]:
        click.echo(output.clean(f"{event.get('timestamp', '')} {event.get('event', '')}: {_words(event)}", most=300))


def _say_sets(answer: control.Answer) -> None:
    click.echo(f"insurer-milter {answer['version']}, {answer['state']}, started {answer['started']}, pid {answer['pid']}")
    if answer["paused_until"]:
        click.echo(f"PAUSED until {answer['paused_until']}: mail passes unjudged; `insurer-milter resume` ends it")
    click.echo(f"settings: {answer['settings'] or 'defaults'}, policy {answer['policy']['name']} ({answer['policy']['mode']})")
    click.echo(f"in force since {answer['sets_since']}: {answer['insurers']} insurers, {answer['rules']} rules")
    rows = [(kind, str(one["files"]), one["hash"], one["date"]) for kind, one in answer["sets"].items()]
    output.table(("set", "files", "hash", "youngest file"), rows)
    reloaded = answer["last_reload"]
    if reloaded:
        kept = f"; a restart is needed for: {', '.join(reloaded['needs_restart'])}" if reloaded["needs_restart"] else ""
        click.echo(f"last reload: {reloaded['at']}, {'refused' if reloaded['problems'] else 'done'}{kept}")


def _say_work(answer: control.Answer) -> None:
    click.echo(f"mails in flight: {answer['mails_in_flight']}")
    rows = []
    for one in answer["workers"]:
        numbers = (one["uptime_seconds"], one["connections"], *one["mails"].values())
        rows.append((str(one["pid"]), one["state"], *map(str, numbers)))
    output.table(("worker", "state", "up (s)", "connections", "receiving", "judging", "delivering", "storing"), rows)
    hop, dns = answer["next_hop"], answer["dns"]
    click.echo(f"next hop: {hop['address']}, {_last(hop)}")
    asked = ", ".join(f"{key} {value}" for key, value in dns["asked"].items())
    failed = f", last failure {dns['last_failure']}" if dns["last_failure"] else ""
    click.echo(f"DNS: {dns['hits']} from the cache, {dns['misses']} asked ({asked or 'none answered yet'}){failed}")
    if answer["quarantine"]:
        click.echo(f"quarantine: {answer['quarantine']['mails']} mails, {answer['quarantine']['octets']} octets")


def _last(hop: control.Answer) -> str:
    reply, trouble = hop["last_reply"], hop["last_trouble"]
    texts = [f"last reply {reply['at']}: {reply['reply']}"] if reply else []
    texts += [f"last trouble {trouble['at']}: {trouble['trouble']}"] if trouble else []
    return output.clean("; ".join(texts) or "not asked yet", most=400)


def _words(event: control.Answer) -> str:
    known = ("timestamp", "event", "level")
    return ", ".join(f"{key}={value}" for key, value in event.items() if key not in known)


@click.command()
@config_option
@json_option
def reload(config: str | None, *, as_json: bool) -> int:
    """Read settings, registry, rules and policy anew. When a file is broken, nothing changes, and this says where (exit code 2)."""
    answer = _ask(config, do="reload")
    if as_json:
        output.json_line(answer)
    elif answer["ok"]:
        click.echo("reloaded")
    else:
        for problem in answer["problems"]:
            click.echo(problem, err=True)
        click.echo("not reloaded; what was in force before stays in force", err=True)
    if answer["ok"] and answer["needs_restart"] and not as_json:
        click.echo(f"a restart is needed for: {', '.join(answer['needs_restart'])}", err=True)
    return 0 if answer["ok"] else 2


@click.command()
@config_option
@click.option("--for", "seconds", type=Length(), required=True, help="How long: 90s, 30m, 2h; a day at most.")
def pause(config: str | None, seconds: float) -> None:
    """Let all mail pass unjudged for a time, marked `unscanned`: for a bad morning."""
    answer = _ask(config, do="pause", seconds=seconds)
    click.echo(f"paused until {answer['paused_until']}: mail passes unjudged, marked `unscanned`; `insurer-milter resume` ends it")


@click.command()
@config_option
def resume(config: str | None) -> None:
    """End a pause: judge mail again."""
    _ask(config, do="resume")
    click.echo("mail is judged again")


@click.command()
@config_option
def drain(config: str | None) -> None:
    """Take no new connection, finish the mails under way, then end the service."""
    answer = _ask(config, do="drain")
    click.echo(f"drained: {answer['mails']} mails were under way; the service has ended")
