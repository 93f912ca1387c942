"""The emulated system of prove_arm64.py."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from proof_steps import Lines, ProofError

HOST_NAME = "fluocount"
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
PIP_SETTINGS = ("INDEX_URL", "EXTRA_INDEX_URL", "TRUSTED_HOST", "DEFAULT_TIMEOUT", "RETRIES")
UNIT = "etc/systemd/system/fluocount.service"
RELEASE_FOLDER = "srv/fluocount"
CPUINFO = "etc/proof-cpuinfo"
# What a Pi 4 says of each core. The emulator shows this machine's /proc/cpuinfo, by which the
# interpreter would choose its kernels; with x86 cores in it ai-edge-litert 2.3 crashes.
CORE = """processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
# Inside a mount and host name space of its own, so that nothing stays mounted when it is killed.
ENTER = (
    'hostname "$1" && mount -t proc proc "$2/proc" && mount -t sysfs -o ro sysfs "$2/sys" && '
    f'mount --bind "$2/{CPUINFO}" "$2/proc/cpuinfo" && '
    'mount -t devpts -o newinstance,ptmxmode=0666 devpts "$2/dev/pts" && '
    'folder=$2 && shift 2 && exec chroot "$folder" "$@"'
)


class Root:
    """The emulated system below a folder."""

    def __init__(self, folder: Path, release: str) -> None:
        self.folder = folder
        self.release = release

    def command(self, *command: str) -> list[str]:
        """The command line that runs a command inside."""
        enter = ["unshare", "--uts", "--mount", "--propagation=private", "sh", "-c", ENTER, "enter"]
        return [*enter, HOST_NAME, str(self.folder), *command]

    def run(self, *command: str, **changes: str) -> str:
        """Run a command inside and return what it prints.

        Raises:
            ProofError: it failed; with what it printed.
        """
        done = subprocess.run(
            self.command(*command),
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            printed = f"{done.stdout}{done.stderr}".strip()
            raise ProofError(f"{printed}\n{shlex.join(command)}: exit status {done.returncode}")
        return done.stdout.strip()

    def shell(self, line: str) -> str:
        """A line that a person types in the unpacked release."""
        return self.run("bash", "-c", f"cd /{RELEASE_FOLDER} && {line} 2>&1")

    @property
    def release_folder(self) -> Path:
        """Where the release is unpacked, seen from outside."""
        return self.folder / RELEASE_FOLDER

    def environment(self, **changes: str) -> dict[str, str]:
        """A clean environment with the network's proxies."""
        kept = {name: os.environ[name] for name in PROXIES if name in os.environ}
        # The Pi 4's processor: qemu's default has instructions that no Pi has.
        return kept | {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "QEMU_CPU": "cortex-a72",
            **changes,
        }

    def as_service(self, *command: str, **changes: str) -> list[str]:
        """A command line as the service's user with the variables of its unit."""
        unit = (self.folder / UNIT).read_text().splitlines()
        lines = [line.partition("=")[2] for line in unit if line.startswith("Environment=")]
        pairs = [pair for line in lines for pair in line.split()]
        pairs += [f"{name}={value}" for name, value in changes.items()]
        return ["runuser", "-u", "fluocount", "--", "env", *pairs, *command]


def register_emulator() -> None:
    """Let the kernel start arm64 programs by itself."""
    folder = Path("/proc/sys/fs/binfmt_misc")
    if not (folder / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", folder], check=True)
    if not (folder / "qemu-aarch64").exists():
        line = Path("/usr/lib/binfmt.d/qemu-aarch64.conf").read_text().strip()
        (folder / "register").write_text(line)


def make_base(base: Root) -> None:
    """A minimal Debian by debootstrap in its two stages; kept for the next proof."""
    downloaded = base.folder.with_suffix(".downloaded")
    with base.folder.with_suffix(".log").open("a") as log:
        if not downloaded.exists():
            shutil.rmtree(base.folder, ignore_errors=True)
            mirror = os.environ.get("FLUOCOUNT_DEBIAN_MIRROR", "http://deb.debian.org/debian")
            options = ["--arch=arm64", "--variant=minbase"]
            options.append("--include=systemd-sysv,ca-certificates")
            first = ["debootstrap", "--foreign", *options, base.release, str(base.folder), mirror]
            subprocess.run(first, check=True, stdout=log, stderr=log)
            downloaded.touch()
        # In name spaces of its own, like Root.command: it mounts /proc and /sys.
        second = ["chroot", str(base.folder), "/debootstrap/debootstrap", "--second-stage"]
        apart = ["unshare", "--mount", "--propagation=private"]
        subprocess.run(
            [*apart, *second], check=True, stdout=log, stderr=log, env=base.environment()
        )


def bootstrap(root: Root) -> Lines:
    """A system as a person finds it on a fresh card: minimal, with sudo, and a way to the registries."""
    base = Root(root.folder.with_name(f"base-{root.release}"), root.release)
    if not base.folder.exists() or (base.folder / "debootstrap").exists():
        make_base(base)
    shutil.rmtree(root.folder, ignore_errors=True)
    subprocess.run(["cp", "--archive", "--reflink=auto", base.folder, root.folder], check=True)
    write_settings(root.folder)
    root.run("apt-get", "update")
    root.run("apt-get", "install", "-y", "--no-install-recommends", "sudo")
    yield root.run("uname", "--machine")
    yield root.run("sh", "-c", ". /etc/os-release && echo $PRETTY_NAME")
    yield root.run("/usr/bin/python3", "--version") if has_python(root) else "no Python"


def has_python(root: Root) -> bool:
    """Whether the minimal system brings a Python."""
    return (root.folder / "usr/bin/python3").exists()


def write_settings(folder: Path) -> None:
    """No services started by apt; names resolved and registries reached as outside."""
    files = {
        "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
        "etc/dpkg/dpkg.cfg.d/proof": "force-unsafe-io\npath-exclude=/usr/share/doc/*\n",
        "etc/hosts": f"127.0.0.1 localhost {HOST_NAME}\n",
        "etc/hostname": f"{HOST_NAME}\n",
        "etc/sudoers.d/proof": f'Defaults env_keep += "QEMU_CPU LC_ALL {" ".join(PROXIES)}"\n',
        "etc/pip.conf": pip_settings(),
        CPUINFO: "".join(CORE.format(number=number) for number in range(os.cpu_count() or 1)),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "usr/sbin/policy-rc.d").chmod(0o755)
    (folder / "etc/sudoers.d/proof").chmod(0o440)
    shutil.copy("/etc/resolv.conf", folder / "etc/resolv.conf")
    if "PIP_CERT" in os.environ:
        shutil.copy(os.environ["PIP_CERT"], folder / "etc/ssl/pip-cert.pem")
    if "FLUOCOUNT_APT_CONF" in os.environ:
        shutil.copy(os.environ["FLUOCOUNT_APT_CONF"], folder / "etc/apt/apt.conf.d/99proof")


def pip_settings() -> str:
    """pip's own variables as a file: sudo passes no variables on."""
    lines = ["[global]"]
    for name in PIP_SETTINGS:
        if value := os.environ.get(f"PIP_{name}"):
            lines.append(f"{name.lower().replace('_', '-')} = {value}")
    if "PIP_CERT" in os.environ:
        lines.append("cert = /etc/ssl/pip-cert.pem")
    return "\n".join(lines) + "\n"
