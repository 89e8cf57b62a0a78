"""Chromium for the browser tests: found where it is, installed where that is allowed, else a clear refusal."""

import os
import shutil
import subprocess

PACKAGE = "chromium"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DISABLED = (
    # With it, a page that is left at the moment in which it is closed may stay open, and close() waits for ever
    # (crbug.com/536385539, seen here at a page that loads itself again at its campaign's end).
    "RenderDocument",
    # Playwright's own, those that matter here: of several lists Chromium takes the last one.
    "AimEnabled",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
)
ARGUMENTS = (
    "--headless=new",
    "--disable-background-networking",
    "--disable-component-update",
    f"--disable-features={','.join(DISABLED)}",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


class NoBrowser(Exception):
    """There is no Chromium, and this run may not install one."""


def find() -> str | None:
    """Return the path of a Chromium that is here already; CHROMIUM names one."""
    named = os.environ.get("CHROMIUM", "").strip()
    if named:
        return shutil.which(named)
    return next((found for found in map(shutil.which, NAMES) if found), None)


def find_or_install() -> str:
    """Return the path of Chromium, installed from the system's packages if root may do that."""
    found = find()
    named = os.environ.get("CHROMIUM", "").strip()
    if not found and not named and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
        found = find()
    if not found:
        looked = named or ", ".join(NAMES)
        raise NoBrowser(
            f"the browser tests need Chromium (looked for {looked}): install the package '{PACKAGE}'"
            f" (Debian, Ubuntu: apt install {PACKAGE}) or name a binary with CHROMIUM=/path/to/chromium"
        )
    return found


def arguments() -> list[str]:
    """List the options that Chromium is started with; root cannot have its sandbox."""
    return [*ARGUMENTS, "--no-sandbox"] if os.geteuid() == 0 else list(ARGUMENTS)


def _install() -> None:
    print(f"installing {PACKAGE} from the system's packages ...", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", PACKAGE, "fonts-dejavu-core"]
    for command in (["apt-get", "-qq", "update"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr)
