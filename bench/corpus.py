"""Real source code from package registries, by exact version and checksum."""

import glob
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import zipfile

from report import die, say

HOME = os.environ["ONYX_HOME"]
DOWNLOADS = os.path.join(HOME, "dl")
SOURCES = os.path.join(HOME, "src")

# Registry, name, version, SHA-256 of the archive, directories of it that are taken.
DJANGO = ("pypi", "Django", "5.1.4", "236e023f021f5ce7dee5779de7b286565fdea5f4ab86bae5338e3f7b69896cf0", ["django"])
NETWORKX = ("pypi", "networkx", "3.4.2", "df5d4365b724cf81b8c6a7312509d0c22386097011ad1abe274afd5e9d3bbc5f", ["networkx"])
WERKZEUG = ("pypi", "werkzeug", "3.1.3", "54b78bf3716d19a65be4fceccc0d1d7b89e608834989dfae50ea87564639213e", ["werkzeug"])
COOKIE = ("crates", "cookie", "0.18.1", "4ddef33a339a91ea89fb53151bd0a4689cfce27055c291dfa69945475d22c747", [""])
EXPRESS = ("npm", "express", "4.21.2", "fc43a91e7dc7affb53c6ad7123a4f35485ed3c45226ae7a3847b7738e783e008",
           ["package/lib", "package/index.js", "package/package.json"])
COMMANDER = ("npm", "commander", "12.1.0", "56affc6ddafe486f94b428ae2823d059cf60d4dae2f33eaaf1b1ec4306f73173", ["package/lib", "package/index.js", "package/package.json"])
QUERY = ("npm", "@tanstack/query-core", "5.62.7", "e17370413ff9653724661a95ec873edb3ec6de91622d0b8affa158e91885e853",
         ["package/src"])
STACK = ("npm", "@react-navigation/stack", "6.4.1", "844b07d77272b5428ec2238d1f62388d9995aeb21e0e1803751d71e0d29ec385",
         ["package/src"])
MIXED = [
    DJANGO,
    ("crates", "tokio", "1.54.1", "b52fd3255258d26fac7264ab5a76b53c13367136dc011d3d6ad4f8ed070396a3", [""]),
    ("crates", "regex-automata", "0.4.19", "41d60ef07df457506a0a1a2073112eb4aae5733dbd2813c3da77d1b0fd441158", [""]),
    ("npm", "effect", "3.10.0", "624f9620d493535bdaff102720f4425be541f94f90be0e356e93af85bdb68799", ["package/src"]),
    ("npm", "zod", "4.1.5", "6e2edca06e41119ca944ab9d55a7d5b069ec799a0396d274c9ddaf38ab2dd95e", ["package/src"]),
    ("npm", "three", "0.170.0", "4a608a355dcaba72e0e5383cdc814303f5b6060b43c238cdf6932dceb699238d", ["package/src"]),
    ("npm", "react-native", "0.72.17", "0f071827845cfd8f0a32baf7f28ad3e98f236979303886cc469d68773232573a",
     ["package/ReactAndroid/src/main/java"]),
    ("debian", "golang-google-grpc-dev", "1.33.3-2", "d6f918cc84a7186d5bf08d21bd3b210db5fb68b34887dca2ff89d47ca37b8749",
     ["usr/share/gocode/src"]),
    ("debian", "golang-golang-x-tools-dev", "1:0.5.0+ds-1", "d0cf4252c020c3ee79707619f925444779070dc1307cd8af1ed99bc8eaf7b3c5",
     ["usr/share/gocode/src"]),
]
# Debian's source packages: name, version of the package, checksum of the upstream archive.
JAVA = [
    ("debian-source", "jsoup", "1.15.3-1", "052511f0be47511f9b2a17d44fc1eccc4b5373e77cc5a3221e34b6af437e1e2e", ["src/main/java"]),
    ("debian-source", "commons-io", "2.11.0-2", "5a55361cf2b97228f94b3c65e3a4af784581debe322be551c44b2776db1c6483",
     ["src/main/java"]),
]

# Two Go modules that only `make eval-graph` reads.
RAFT = ("debian", "golang-github-hashicorp-raft-dev", "1.1.2-1",
        "f34877bf2e6d361137752e477ed94bb92556fd43a6ed29fa6135cc010f7d1954", ["usr/share/gocode/src"])
GO_GIT = ("debian", "golang-github-go-git-go-git-dev", "5.4.2-3",
          "a2d87579f6ee3ae85322c035d914722d411d17fcb5da68044809490913ea04a1", ["usr/share/gocode/src"])

# Successive releases whose symbols `make eval-lineage` follows.
LINEAGE = [
    ("pypi", "click", "7.1.2", "dacca89f4bfadd5de3d7489b7c8a566eee0d3676333fbb50030263894c38c0dc", ["click"]),
    ("pypi", "click", "8.0.4", "6a7a62563bbfabfda3a38f3023a1db4a35978c0abd76f6c9605ecd6554d6d9b1", ["click"]),
    ("pypi", "flask", "2.2.5", "58107ed83443e86067e41eff4631b058178191a355886f8e479e347fa1285fdf", ["flask"]),
    ("pypi", "flask", "2.3.3", "f69fcd559dc907ed196ab9df0e48471709175e696d6e698dd4dbe940f96ce66b", ["flask"]),
    ("pypi", "flask", "3.0.0", "21128f47e4e3b9d597a3e8521a329bf56909b690fcc3fa3e477725aa81367638", ["flask"]),
    ("pypi", "werkzeug", "2.1.2", "72a4b735692dd3135217911cbeaa1be5fa3f62bffb8745c5215420a03dc55255", ["werkzeug"]),
    ("pypi", "werkzeug", "2.2.3", "56433961bc1f12533306c624f3be5e744389ac61d722175d543e1751285da612", ["werkzeug"]),
    ("pypi", "jinja2", "2.11.3", "03e47ad063331dd6a3f04a43eddca8a966a26ba0c5b7207a9a9e4e08f1b29419", ["jinja2"]),
    ("pypi", "jinja2", "3.0.3", "077ce6014f7b40d03b47d1f1ca4b0fc8328a692bd284016f806ed0eaca390ad8", ["jinja2"]),
    ("npm", "commander", "7.2.0", "cbb0895e31309d01f270ba9e94a0bea386acab0165672f6a1539df8b3a6448f6",
     ["package/index.js"]),
    ("npm", "commander", "8.3.0", "1b38e65f9229a84060ca5d041a58e3bc1ea374da6d933f9060ca86a67949c10b",
     ["package/index.js", "package/lib"]),
    ("npm", "ws", "7.5.9", "9a4733be10e8b5b62a06d56314ea8b03f38b563642f822052ca711eb5f25de1b", ["package/lib"]),
    ("npm", "ws", "8.0.0", "67b5c6db0de9fb662181e8b0a2dda2aac3d78a8e58fb00831ed829a650e57a9e", ["package/lib"]),
    EXPRESS,
    ("npm", "express", "5.0.1", "e4c11546338cd41d6797381d1e029b9f2051183534e3037031300f5d60815a8b",
     ["package/lib", "package/index.js"]),
    ("npm", "fastify", "3.29.5", "4071d619af4dc6db5a95c00e9c80b5753d03b0911bbe934a875c07e9eb793be0",
     ["package/lib", "package/fastify.js"]),
    ("npm", "fastify", "4.0.0", "6db14c7f847416cd2c4ea85f8490241e61898fc720e8ccc45f12bb9b97b23b46",
     ["package/lib", "package/fastify.js"]),
    ("npm", "chalk", "4.1.2", "e84c643aa53e87ace6c3d368b3cddda24a2d1434a06b6dfbdb628ad2107df90a", ["package/source"]),
    ("npm", "chalk", "5.0.0", "adf72284973550f25f782e73034a26dd6026dd52c542555db82e2c25b249b269", ["package/source"]),
    ("npm", "@tanstack/query-core", "4.36.1", "879a0472df708da0f8df38d8df3de02ca88ae89cf90bd61caba4b73adfe9ccb9",
     ["package/src"]),
    ("npm", "@tanstack/query-core", "5.0.0", "67415dc7b68113d69b498450bd643d122bd5d991999a213d2a0e68a43f41e225",
     ["package/src"]),
    ("npm", "immer", "9.0.21", "df5ec8ae41275aa58025cadde1d755035d3291e08dd2630ac7c82f7fe1b94acb", ["package/src"]),
    ("npm", "immer", "10.0.2", "ede701c3eccf974c20d5633b740774d2cc795d4eee3f88255550fa423859b802", ["package/src"]),
    ("npm", "@reduxjs/toolkit", "1.9.7", "05ed3ca201af1e5d746ed81579690696ab52390d2d590454a7dca293a3339c4d",
     ["package/src"]),
    ("npm", "@reduxjs/toolkit", "2.0.1", "abd1c6744eb8aaefcebec010eed3fb838fcf8a81a2610b1f672e1bcf53aabc88",
     ["package/src"]),
    ("crates", "grep-printer", "0.1.7", "e14551578f49da1f774b70da5bd1b8c20bbbead01620c426cb0a217536d95a6a", ["src"]),
    ("crates", "grep-printer", "0.2.0", "d3ac147e406055bdac8cdfc66860b1f8da3c2bfba4fa61b5a4aff4f9e4db0163", ["src"]),
    ("crates", "globset", "0.4.10", "029d74589adefde59de1a0c4f4732695c32805624aec7b68d91503d4dba79afc", ["src"]),
    ("crates", "globset", "0.4.14", "57da3b9b5b85bd66f31093f8c408b90a74431672542466497dcbdfdc02034be1", ["src"]),
    ("crates", "grep-cli", "0.1.6", "2dd110c34bb4460d0de5062413b773e385cbf8a85a63fc535590110a09e79e8a", ["src"]),
    ("crates", "grep-cli", "0.1.10", "ea40788c059ab8b622c4d074732750bfb3bd2912e2dd58eabc11798a4d5ad725", ["src"]),
    ("crates", "cookie", "0.16.2", "e859cd57d0710d9e06c381b550c06e76992472a8c6d527aecd2fc673dcc231fb", ["src"]),
    ("crates", "cookie", "0.17.0", "7efb37c3e1ccb1ff97164ad95ac1606e8ccd35b3fa0a7d99a304c7f4a428cc24", ["src"]),
    ("crates", "axum", "0.5.17", "acee9fd5073ab6b045a275b3e709c163dd36c90685219cb21804a147b58dba43", ["src"]),
    ("crates", "axum", "0.6.0", "744864363a200a5e724a7e61bc8c11b6628cf2e3ec519c8a1a48e609a8156b40", ["src"]),
]


def fetch(package):
    """The directory of a package's source, downloaded when it is not there."""
    registry, name, version, sha256, parts = package
    target = os.path.join(SOURCES, f"{plain(name)}-{version}".replace(":", "_"))
    if registry == "pypi":
        target += "-wheel"
    if os.path.isdir(target):
        return target
    say(f"downloading {name} {version} from {registry}")
    os.makedirs(DOWNLOADS, exist_ok=True)
    os.makedirs(SOURCES, exist_ok=True)
    by_registry = {"pypi": pypi, "npm": npm, "crates": crate, "debian": debian, "debian-source": debian_source}
    archive = by_registry[registry](name, version)
    with open(archive, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        die(f"{archive} has the SHA-256 {found}, not {sha256}: delete it and run this again")
    whole = target + ".whole"
    shutil.rmtree(whole, ignore_errors=True)
    shutil.rmtree(target + ".new", ignore_errors=True)
    unpack(archive, whole)
    top = os.path.join(whole, f"{name}-{version}") if registry == "crates" else whole
    if registry == "debian-source":
        top = os.path.join(whole, os.listdir(whole)[0])
    for part in parts:
        # The whole of it, a part without name, takes the directory's own place.
        to = os.path.normpath(os.path.join(target + ".new", part))
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.move(os.path.normpath(os.path.join(top, part)), to)
    shutil.rmtree(whole, ignore_errors=True)
    readable(target + ".new")
    os.rename(target + ".new", target)
    return target


def plain(name):
    """A name without the marks of a scope, as npm names its archives."""
    return name.removeprefix("@").replace("/", "-")


def mixed():
    """One tree of all packages of MIXED."""
    tree = os.path.join(SOURCES, "mixed")
    os.makedirs(tree, exist_ok=True)
    wanted = set()
    for package in MIXED:
        source = fetch(package)
        wanted.add(os.path.basename(source))
        target = os.path.join(tree, os.path.basename(source))
        if not os.path.isdir(target):
            # Hard links: the walk does not follow symbolic ones, and copies take space.
            shutil.copytree(source, target + ".new", copy_function=os.link, symlinks=True)
            os.rename(target + ".new", target)
    for other in set(os.listdir(tree)) - wanted:
        shutil.rmtree(os.path.join(tree, other))
    readable(tree)
    return tree


def run(command, what, **options):
    try:
        done = subprocess.run(command, capture_output=True, text=True, **options)
    except FileNotFoundError:
        die(f"{what} needs {command[0]}: install it (Debian: apt-get install {command[0]}) and run this again")
    if done.returncode != 0:
        end = " / ".join(done.stderr.strip().splitlines()[-3:])
        die(f"{what} failed: check the network and the settings of {command[0]}, then run this again ({end})")
    return done.stdout


def pypi(name, version):
    path = os.path.join(DOWNLOADS, f"{name}-{version}-py3-none-any.whl")
    if not os.path.exists(path):
        run([os.environ["ONYX_PYTHON"], "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--only-binary=:all:", "--platform", "any", "--python-version", "3.11", "--dest", DOWNLOADS,
             f"{name}=={version}"], f"downloading {name} from PyPI")
        # The index spells names its own way, and old wheels are for Python 2, too.
        if not os.path.exists(path):
            begins = f"{name}-{version}-py".lower()
            wheels = glob.glob(os.path.join(DOWNLOADS, "*-none-any.whl"))
            os.rename(next(w for w in wheels if os.path.basename(w).lower().startswith(begins)), path)
    return path


def npm(name, version):
    path = os.path.join(DOWNLOADS, f"{plain(name)}-{version}.tgz")
    if not os.path.exists(path):
        run(["npm", "pack", "--silent", "--ignore-scripts", f"{name}@{version}"], f"downloading {name} from npm",
            cwd=DOWNLOADS)
    return path


def debian(name, version):
    path = os.path.join(DOWNLOADS, f"{name}_{version.replace(':', '%3a')}_all.deb")
    if not os.path.exists(path):
        run(["apt-get", "download", "--quiet", f"{name}={version}"],
            f"downloading {name} {version}, which Debian 12 has, from Debian", cwd=DOWNLOADS)
    return path


def debian_source(name, version):
    """The upstream archive. The sources of the machine's own list are left alone."""
    archives = glob.glob(os.path.join(DOWNLOADS, f"{name}_{version.rsplit('-', 1)[0]}.orig.tar.*"))
    if not archives:
        work = os.path.join(DOWNLOADS, "apt")
        os.makedirs(os.path.join(work, "lists", "partial"), exist_ok=True)
        sources = os.path.join(work, "sources.list")
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        with open(sources, "w", encoding="utf-8") as file:
            file.write(f"deb-src [signed-by={keyring}] http://deb.debian.org/debian bookworm main\n")
        options = ["-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=/dev/null",
                   "-o", f"Dir::State::Lists={work}/lists", "-o", f"Dir::Cache={work}"]
        what = f"downloading the source of {name} {version}, which Debian 12 has, from Debian"
        run(["apt-get", *options, "--quiet", "update"], what)
        run(["apt-get", *options, "--quiet", "source", "--download-only", "--only-source", f"{name}={version}"], what,
            cwd=DOWNLOADS)
        archives = glob.glob(os.path.join(DOWNLOADS, f"{name}_{version.rsplit('-', 1)[0]}.orig.tar.*"))
    return next(archive for archive in archives if not archive.endswith(".asc"))


def crate(name, version):
    """By way of Cargo, as a dependency of an empty package."""
    work = os.path.join(SOURCES, ".fetch")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(os.path.join(work, "src"))
    with open(os.path.join(work, "src", "lib.rs"), "w", encoding="utf-8"):
        pass
    with open(os.path.join(work, "Cargo.toml"), "w", encoding="utf-8") as file:
        file.write(f'[package]\nname = "fetch"\nedition = "2021"\n[workspace]\n[dependencies]\n'
                   f'{name} = {{ version = "={version}", default-features = false }}\n')
    listed = json.loads(run(["cargo", "metadata", "--quiet", "--format-version", "1", "--manifest-path",
                             os.path.join(work, "Cargo.toml")], f"downloading {name} from crates.io"))
    shutil.rmtree(work)
    manifest = next(p["manifest_path"] for p in listed["packages"] if p["name"] == name)
    directory = os.path.dirname(manifest)
    return directory.replace("/registry/src/", "/registry/cache/") + ".crate"


def unpack(archive, directory):
    if archive.endswith(".whl"):
        with zipfile.ZipFile(archive) as file:
            file.extractall(directory)
    elif archive.endswith(".deb"):
        run(["dpkg-deb", "--extract", archive, directory], f"unpacking {archive}")
    else:
        with tarfile.open(archive, "r:*") as file:
            file.extractall(directory, filter="data")


def readable(directory):
    """For the user the server runs as."""
    for path, _, names in os.walk(directory):
        os.chmod(path, 0o755)
        for name in names:
            full = os.path.join(path, name)
            if not os.path.islink(full):
                os.chmod(full, 0o644)
