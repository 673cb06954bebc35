//! Checks the recipes that the tests cannot run, with the Kubernetes schema, systemd-analyze and the known keys of
//! quadlets; and the variables of all recipes with the program.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use vrrp_init::config::Config;

fn recipe(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compose").join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(recipe(path)).unwrap()
}

/// Runs a program to its end; whether it succeeded, and its output.
fn run(program: &mut Command) -> (bool, String) {
    let output = program.output().unwrap_or_else(|error| panic!("{program:?}: {error}"));
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// A temporary file, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("vrrp-init-recipes-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), text).unwrap();
        Self(directory.join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// Fails unless the program accepts the variables without a problem or a warning.
fn accepted(recipe: &str, variables: &[(String, String)]) {
    assert!(!variables.is_empty(), "{recipe} sets variables");
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let (_, warnings) = Config::from_environment(variables, |_| unreachable!("no file is named"))
        .unwrap_or_else(|e| panic!("{recipe}: {e}"));
    assert!(warnings.is_empty(), "{recipe}: {warnings:?}");
}

#[test]
fn the_daemon_set_is_valid_by_the_schema_of_the_kubernetes_api() {
    let validate = |file: &Path| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/kubernetes-validate.sh");
        run(Command::new(script).arg(file))
    };
    let (valid, output) = validate(&recipe("kubernetes/daemonset.yaml"));
    assert!(valid && output.contains("passed for resource daemonset/vip"), "{output}");

    // The control: the checker rejects an unknown field.
    let wrong =
        text("kubernetes/daemonset.yaml").replace("shareProcessNamespace:", "shareProcessNamespaces:");
    let (valid, output) = validate(&Scratch::new("daemonset.yaml", &wrong).0);
    assert!(!valid && output.contains("shareProcessNamespaces"), "{output}");
}

#[test]
fn the_unit_passes_the_verification_of_systemd() {
    let verify = |text: &str| {
        let text = text.replace("/usr/local/bin/vrrp-init", env!("CARGO_BIN_EXE_vrrp-init"));
        let unit = Scratch::new("vrrp-init.service", &text);
        let verified = run(Command::new("systemd-analyze").arg("verify").arg(&unit.0));
        // Of ten; above it the exit code is not 0.
        let exposed = run(Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--threshold=25"])
            .arg(&unit.0));
        (verified, exposed)
    };
    let unit = text("systemd/vrrp-init.service");
    let ((verified, output), (confined, exposure)) = verify(&unit);
    assert!(verified && output.is_empty(), "{output}");
    assert!(confined, "{exposure}");

    // The controls: a word that systemd does not know, and a unit without any sandboxing.
    let ((_, output), _) = verify(&unit.replace("RestrictNamespaces=", "RestrictNamespace="));
    assert!(output.contains("RestrictNamespace"), "{output}");
    let (_, (confined, _)) = verify("[Service]\nExecStart=/usr/local/bin/vrrp-init\n");
    assert!(!confined);
}

/// The keys of the recipe, each among those that Podman's generator takes. The generator itself is in no package of
/// Debian 12, whose Podman 4.3 is the last without quadlets.
const CONTAINER_KEYS: [&str; 11] = [
    "AddCapability",
    "ContainerName",
    "DropCapability",
    "Environment",
    "EnvironmentFile",
    "Image",
    "Network",
    "NoNewPrivileges",
    "PodmanArgs",
    "ReadOnly",
    "Volume",
];

/// The systemd unit that a quadlet becomes, and the section that only Podman reads.
fn quadlet(text: &str) -> (String, Vec<(String, String)>) {
    let (mut unit, mut container, mut section) = (String::new(), Vec::new(), "");
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        }
        if section == "[Container]" {
            container.extend(line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())));
        } else {
            unit.push_str(line);
            unit.push('\n');
        }
    }
    (unit.replace("[Service]", "[Service]\nExecStart=/bin/true"), container)
}

#[test]
fn the_quadlets_have_known_keys_and_become_units_that_systemd_accepts() {
    let units = ["namespace", "haproxy", "keepalived"].map(|name| {
        let (unit, container) = quadlet(&text(&format!("podman/{name}.container")));
        for (key, value) in &container {
            assert!(key.starts_with('#') || CONTAINER_KEYS.contains(&key.as_str()), "{name}: {key}");
            assert!(!value.is_empty(), "{name}: {key}");
        }
        for needed in ["Image", "ContainerName"] {
            assert!(container.iter().any(|(key, _)| key == needed), "{name}: {needed}");
        }
        (name, unit)
    });
    let directory = Scratch::new("keepalived.service", &units[2].1);
    for (name, unit) in &units[..2] {
        fs::write(directory.0.with_file_name(format!("{name}.service")), unit).unwrap();
    }
    let (verified, output) = run(Command::new("systemd-analyze").arg("verify").arg(&directory.0));
    assert!(verified && output.is_empty(), "{output}");
}

/// Every file under compose, with its path there.
fn every_recipe() -> Vec<(String, String)> {
    let folders = fs::read_dir(recipe("")).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
    let name = |path: &Path| path.strip_prefix(recipe("")).unwrap().display().to_string();
    files.map(|file| (name(&file.path()), fs::read_to_string(file.path()).unwrap())).collect()
}

#[test]
fn no_recipe_starts_two_equal_nodes_because_a_variable_is_missing() {
    // The published pair and the demo have two services; Swarm and Kubernetes have equal nodes on purpose.
    const FIXED: [&str; 5] = ["master/", "slave/", "demo/", "swarm/stack.yml", "kubernetes/daemonset.yaml"];
    let (mut compose, mut units) = (0, 0);
    for (name, text) in every_recipe() {
        let priorities = text.lines().filter(|line| line.trim_start().starts_with("PRIORITY"));
        for line in priorities.filter(|_| !FIXED.iter().any(|fixed| name.starts_with(fixed))) {
            assert!(line.contains(": ${PRIORITY") && line.contains(":?"), "{name}: {line}");
            compose += 1;
        }
        let runs_ours =
            text.contains("/vrrp-init:latest") || text.contains("ExecStart=/usr/local/bin/vrrp-init");
        if runs_ours && (name.ends_with(".container") || name.ends_with(".service")) {
            let guard = text.lines().find_map(|line| line.strip_prefix("ExecStartPre="));
            let guard = guard.unwrap_or_else(|| panic!("{name} starts without PRIORITY")).replace("$$", "$");
            let without = Command::new("sh").args(["-c", &guard]).env_remove("PRIORITY").output().unwrap();
            assert!(!without.status.success(), "{name}");
            let with = Command::new("sh").args(["-c", &guard]).env("PRIORITY", "11").output().unwrap();
            assert!(with.status.success(), "{name}: {with:?}");
            units += 1;
        }
    }
    assert!(compose >= 8 && units == 2, "{compose} lines and {units} units");
}

/// Without a label, SELinux keeps a container from reading the host's files, with Podman or Docker.
#[test]
fn every_file_of_the_host_gets_a_label_for_selinux() {
    let mut volumes = 0;
    for (name, text) in every_recipe() {
        for line in text.lines().filter(|line| line.contains(":/usr/local/etc/") || line.contains(":/opt/")) {
            assert!(line.contains(":ro,z"), "{name}: {line}");
            volumes += 1;
        }
    }
    assert!(volumes >= 8, "{volumes} volumes");
}

/// The text as Compose reads it with this `.env`: a recipe has only `${NAME:?message}`.
fn interpolated(text: &str, env: &[(&str, &str)]) -> String {
    let mut parts = text.split("${");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (expression, rest) = part.split_once('}').unwrap();
        let (name, _) = expression.split_once(":?").unwrap();
        result += env.iter().find(|(known, _)| *known == name).unwrap().1;
        result += rest;
    }
    result
}

#[test]
fn the_program_accepts_the_variables_of_every_recipe() {
    let pairs = |lines: &str, separator: char| -> Vec<(String, String)> {
        lines
            .lines()
            .filter_map(|line| line.split_once(separator))
            .map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned()))
            .collect()
    };
    let (_, container) = quadlet(&text("podman/keepalived.container"));
    let environment = container.iter().find(|(key, _)| key == "Environment").unwrap();
    // The file that EnvironmentFile names has the rest.
    let both = environment.1.replace(' ', "\n") + "\nPRIORITY=11";
    accepted("podman", &pairs(&both, '='));

    let manifest = text("kubernetes/daemonset.yaml");
    let flow = manifest.lines().filter_map(|line| line.trim().strip_prefix("- {name: ")?.strip_suffix('}'));
    let flow: String = flow
        .filter(|line| line.contains(", value: "))
        .map(|line| line.replace(", value:", ":") + "\n")
        .collect();
    accepted("kubernetes", &pairs(&flow.replace('"', ""), ':'));

    let mut composed = 0;
    for entry in fs::read_dir(recipe("")).unwrap().flatten() {
        for name in ["docker-compose.yml", "stack.yml"] {
            let Ok(text) = fs::read_to_string(entry.path().join(name)) else { continue };
            // Made by a Dockerfile beside it, from our image.
            let text = text.replace("build: .\n", "vrrp-init:latest\n");
            let of_ours = text.split("vrrp-init:latest\n").skip(1);
            for service in of_ours {
                let environment = service.split_once("environment:\n").unwrap().1;
                let lines: Vec<&str> =
                    environment.lines().take_while(|line| line.starts_with("      ")).collect();
                let lines =
                    lines.iter().map(|line| line.split(" #").next().unwrap()).collect::<Vec<_>>().join("\n");
                let values = interpolated(&lines, &[("PRIORITY", "11"), ("PRIORITY_2", "10")]);
                accepted(&entry.path().display().to_string(), &pairs(&values, ':'));
                composed += 1;
            }
        }
    }
    assert!(composed >= 11, "{composed} services are ours in the compose files");
}

#[test]
fn the_page_of_the_recipes_shows_the_files_of_the_script_as_they_are() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recipes.md")).unwrap();
    for name in ["script/Dockerfile", "script/check.sh"] {
        let file = text(name);
        // The page has the first comment of the Dockerfile as prose.
        let shown = file.split_once("FROM ").map_or(file.clone(), |(_, rest)| format!("FROM {rest}"));
        assert!(page.contains(&shown), "{name}");
    }
}
