# What the rules are made with: functions of wildcards, options for the shell, and what a run does at its ends.
def row(key):
    """A params function: this model's cell of the sheet; of an empty spec, the model's name."""

    def cell(wildcards):
        if wildcards.model not in BY_FOLDER:
            raise WorkflowError(f"{SHEET}: no model is encoded as {wildcards.model!r} in the sheet")
        found = BY_FOLDER[wildcards.model]
        return found["model"] if key == "spec" and not found[key] else found[key]

    return cell


def option_of_row(flag, key):
    """A params function: the option for this model's cell of a column that a sheet may lack."""
    return lambda wildcards: option(flag, BY_FOLDER[wildcards.model].get(key) or None)


def weights(wildcards):
    """Weights that this workflow makes; other sources bring their own."""
    trained = catalogue.SOURCES[row("source")(wildcards)].trained
    return str(S.models.weights(MODEL)).format(model=wildcards.model) if trained else []


def path(text):
    """A user's path as an input, where there is one."""
    return [] if text is None else text


def option(flag, value):
    """`flag value` for the shell, quoted; of True the flag alone, of null and False nothing."""
    if value is None or value is False or value == []:
        return ""
    return flag if value is True else f"{flag} {quote(str(value))}"


def each(flag, values):
    return " ".join(option(flag, v) for v in values)


def option_of(flag, name):
    """A params function: the option for the input of that name, where there is one."""
    return lambda wildcards, input: option(flag, getattr(input, name) or None)


def always(text):
    """A params function: a text that may hold braces; where it changes, the rule runs again."""
    return lambda wildcards: text


def never(text):
    """A params function: the same, but no reason to run again, as Snakemake compares none that takes output."""
    return lambda wildcards, output: text


def of_job(file):
    """A function of wildcards: a file of an attack job that is no declared output."""
    return lambda wildcards: str(file(MODEL, SHARD)).format(**wildcards)


def shard_range(wildcards):
    return layout.bounds(wildcards.shard, COUNT, PER_SHARD)


def all_images(wildcards):
    return 0, COUNT


def sample_range(wildcards):
    return 0, SAMPLE


def bounds_of(wildcards):
    start, stop = shard_range(wildcards)
    return f"--start {start} --stop {stop}"


def pin(wildcards):
    """A params function: a published file's address and hash; a new one fetches again, new words do not."""
    file = next(f for f in PUBLISHED[wildcards.source].files if f.name == wildcards.file)
    return f"{file.address} {file.sha256}"


def check_early():
    """Bad scores, or a sheet that does not fit them, stop the run before its first job."""
    from subprocess import run

    found, sha256 = CONFIG["leaderboard"], CONFIG["leaderboard"]["sha256"]
    if SHEET is None or configuration.is_remote(found["source"]) or found["source"] == "demo":
        return
    command = [sys.executable, "-m", "alignsec", "leaderboard", "check", "--registry", found["registry"]]
    command += ["--sheet", SHEET, *(["--sha256", sha256] if sha256 else []), "--", found["source"]]
    done = run(command, capture_output=True, text=True)
    if done.returncode:
        raise WorkflowError(done.stderr.strip().removeprefix("error: "))


def say_where():
    """What there is to look at."""
    places = {"findings": S.summary, "explore": S.explorer, "figures": S.figure("x", "x").parent}
    places["tables"] = S.table("x", "x").parent
    if made := [f"{what}: {place}" for what, place in places.items() if place.exists()]:
        print("   ".join(made), file=sys.stderr)
