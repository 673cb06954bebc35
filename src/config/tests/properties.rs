//! Any environment gives a valid configuration, or reasons.

use proptest::prelude::*;

use super::*;

/// A text that some variable takes, or none does.
const TEXT: &str =
    "\\PC{0,8}|[0-9.]{1,4}|[a-z0-9./: ,\n]{0,12}|(10[.]0[.]0[.][0-9]|fd00::[0-9]|fe80::1)( fd00::5)?";

/// A name of anybody's, with whatever may stand before and after it.
fn any_name() -> impl Strategy<Value = String> {
    let known = VARIABLES.iter().map(|v| v.name).chain(aliases().flat_map(Alias::each));
    let known = prop::sample::select(known.chain(["HOST_IP", "X"]).collect::<Vec<_>>());
    (prop::bool::weighted(0.2), known, "(_[0-9]{1,5}|_[12]|)(_FILE|)").prop_map(|(prefix, name, suffix)| {
        format!("{}{name}{suffix}", if prefix { "KEEPALIVED_" } else { "" })
    })
}

proptest! {
    #[test]
    fn any_names_and_texts_give_a_valid_configuration_or_reasons(
        vars in prop::collection::vec(
            (any_name(), prop_oneof![TEXT, "[0-9]{1,3}|any|true|false|PASS|none|\\[['\"]10[.]0[.]0[.][2-4]['\"]\\]|10[.]0[.]0[.]2-9"]),
            0..12,
        ),
        compat in prop::sample::select(vec!["", "auto", "none", "osixia", "arcts", "neoassist", "shawly", "ednxzu"]),
        good in any::<bool>(),
    ) {
        let least: &[(&str, &str)] = if good { &[("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51")] } else { &[] };
        let mut all = os(least);
        all.extend(vars.iter().map(|(name, text)| (name.into(), text.into())));
        all.push(("COMPAT".into(), compat.into()));
        match Config::explained(all, |_| Ok(b"1\n".to_vec())) {
            Ok((config, _, settings)) => {
                config.routers.iter().try_for_each(valid)?;
                prop_assert!(settings.iter().all(|setting| !setting.value.contains('\n')));
            }
            Err(error) => {
                prop_assert!(!error.problems.is_empty());
                prop_assert_eq!(error.to_string().lines().count(), lines(&error));
            }
        }
    }

    #[test]
    fn any_environment_gives_a_valid_configuration_or_reasons(
        vars in prop::collection::vec((0..VARIABLES.len(), 1..4_u16, TEXT), 0..12), good in any::<bool>(),
        file in prop::collection::vec(any::<u8>(), 0..6), from_file in any::<prop::sample::Index>(),
    ) {
        let named = from_file.index(VARIABLES.len());
        let vars = vars.iter().map(|(i, number, value)| {
            let suffix = if *i == named { "_FILE" } else { "" };
            let name = full_name(VARIABLES[*i].name, *number);
            (OsString::from(format!("{name}{suffix}")), OsString::from(value))
        });
        let least = os(&[("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51")]);
        let vars: Vec<_> = vars.chain(if good { least } else { vec![] }).collect();
        match read(vars, |_| Ok(file.clone())) {
            Ok((config, _)) => {
                prop_assert!(!config.routers.is_empty());
                for router in config.routers {
                    valid(&router)?;
                }
            }
            Err(error) => {
                prop_assert!(!error.problems.is_empty());
                prop_assert_eq!(error.to_string().lines().count(), lines(&error));
            }
        }
    }
}

fn valid(router: &RouterConfig) -> Result<(), TestCaseError> {
    let listed: Vec<_> = router.addresses.iter().map(|vip| vip.address).collect();
    let protocol = &router.protocol;
    prop_assert!(!listed.is_empty());
    prop_assert_eq!(&listed, &protocol.addresses);
    let ours = listed.iter().chain(&protocol.peers).chain(&router.unicast_source);
    prop_assert!(ours.clone().all(|address| address.is_ipv4() == listed[0].is_ipv4()));
    prop_assert!(protocol.interval.fits(protocol.version));
    prop_assert!(protocol.version == Version::V2 || protocol.auth.is_none());
    prop_assert!(protocol.version == Version::V3 || listed[0].is_ipv4());
    let nothing = |c: &CheckConfig| {
        c.services.is_empty() && c.tcp.is_empty() && c.http.is_empty() && c.script.is_none()
    };
    prop_assert!(!router.check.as_deref().is_some_and(nothing));
    prop_assert!(router.notify.any.as_ref().is_none_or(|words| words[0].starts_with('/')));
    Ok(())
}

/// How many lines the report has.
fn lines(error: &ConfigError) -> usize {
    let sections = [error.problems.len(), error.warnings.len()];
    sections.into_iter().filter(|lines| *lines > 0).map(|lines| lines + 1).sum()
}
