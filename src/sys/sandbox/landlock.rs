//! Landlock rules: which files this process can still open, whatever its user may. Knows no file by name.

use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetStatus,
};

use super::needs::Files;

/// The rights of this version, as far as the kernel knows them.
const VERSION: ABI = ABI::V5;

/// Leaves these files to every thread that the calling thread starts from now on, and no others.
pub(super) fn restrict(files: &Files) -> Result<Option<String>, String> {
    let all = AccessFs::from_all(VERSION);
    let rules = Ruleset::default().handle_access(all).and_then(Ruleset::create).map_err(refused)?;
    let rules = allow(rules, &files.read, AccessFs::ReadFile | AccessFs::ReadDir)?;
    let status = allow(rules, &files.write, all)?.restrict_self().map_err(refused)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(None),
        RulesetStatus::PartiallyEnforced => Ok(Some("as far as this kernel knows it".into())),
        RulesetStatus::NotEnforced => {
            Err("the kernel has none (it needs 5.13 and landlock in lsm=), or a seccomp profile forbids it"
                .into())
        }
    }
}

fn allow(
    rules: RulesetCreated,
    paths: &[PathBuf],
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, String> {
    paths.iter().try_fold(rules, |rules, path: &PathBuf| {
        // Without a rule for it, it could not be used later.
        let folder = PathFd::new(path)
            .map_err(|_| format!("{} cannot be opened now, and is needed later", path.display()))?;
        // A single file has no content of a folder.
        let rights = if path.is_file() { rights & AccessFs::ReadFile } else { rights };
        rules.add_rule(PathBeneath::new(folder, rights)).map_err(refused)
    })
}

/// Without the crate's words for it, which take 5 KB and add nothing that helps.
fn refused<E>(_: E) -> String {
    "the kernel refuses the rules".into()
}
