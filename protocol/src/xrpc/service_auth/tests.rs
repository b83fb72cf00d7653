use super::*;

const NOW: i64 = 1_790_000_000;

fn claims() -> Claims {
    Claims {
        iat: Some(NOW),
        iss: "did:plc:yk4dd2qkboz2yv6tpubpc6co".into(),
        aud: "did:web:pds.example.com#atproto_pds".into(),
        exp: NOW + 60,
        lxm: Some("com.atproto.server.createAccount".into()),
        jti: Some("00112233445566778899aabbccddeeff".into()),
    }
}

fn expected<'a>() -> Expected<'a> {
    Expected {
        audiences: &["did:web:pds.example.com#atproto_pds"],
        method: Some("com.atproto.server.createAccount"),
        method_required: true,
        now: NOW,
    }
}

fn key(curve: Curve) -> SigningKey {
    SigningKey::from_bytes(curve, &[7; 32]).unwrap()
}

fn refusal(change: impl FnOnce(&mut Claims)) -> &'static str {
    let mut claims = claims();
    change(&mut claims);
    let token = mint(&key(Curve::K256), &claims);
    match parse(&token).and_then(|token| token.check_claims(&expected())) {
        Ok(()) => "accepted",
        Err(error) => error.name(),
    }
}

#[test]
fn a_minted_token_is_accepted_on_both_curves() {
    for curve in [Curve::K256, Curve::P256] {
        let token = parse(&mint(&key(curve), &claims())).unwrap();
        token.check_claims(&expected()).unwrap();
        assert_eq!(token.verify(key(curve).public()), Ok(&claims()));
    }
}

#[test]
fn a_token_under_another_key_or_algorithm_is_refused() {
    let token = parse(&mint(&key(Curve::K256), &claims())).unwrap();
    let other = SigningKey::from_bytes(Curve::K256, &[8; 32]).unwrap();
    assert_eq!(
        token.verify(other.public()).unwrap_err().name(),
        "BadJwtSignature"
    );
    assert_eq!(
        token.verify(key(Curve::P256).public()).unwrap_err().name(),
        "BadJwtSignature"
    );
}

#[test]
fn each_claim_out_of_place_has_its_error_name() {
    assert_eq!(refusal(|_| ()), "accepted");
    assert_eq!(refusal(|c| c.exp = NOW), "JwtExpired");
    assert_eq!(refusal(|c| c.exp = NOW + 4000), "BadJwt");
    assert_eq!(refusal(|c| c.iat = Some(NOW + 301)), "BadJwt");
    assert_eq!(
        refusal(|c| c.aud = "did:web:pds.example.com".into()),
        "BadJwtAudience"
    );
    assert_eq!(
        refusal(|c| c.lxm = Some("com.atproto.server.getSession".into())),
        "BadJwtLexiconMethod"
    );
    assert_eq!(refusal(|c| c.lxm = None), "BadJwtLexiconMethod");
    assert_eq!(
        refusal(|c| c.iss = "did:plc:yk4dd2qkboz2yv6tpubpc6co#atproto".into()),
        "BadJwtIss"
    );
    assert_eq!(refusal(|c| c.iss = "example.com".into()), "BadJwtIss");
}

#[test]
fn a_service_calls_for_itself_only_where_that_is_asked_for() {
    let of = |iss: &str| {
        let iss = iss.to_owned();
        mint(&key(Curve::K256), &Claims { iss, ..claims() })
    };
    let labeler = of("did:plc:yk4dd2qkboz2yv6tpubpc6co#atproto_labeler");
    let token = parse_of_any_issuer(&labeler).unwrap();
    assert_eq!(token.issuer().as_str(), "did:plc:yk4dd2qkboz2yv6tpubpc6co");
    assert_eq!(token.service(), Some("atproto_labeler"));
    assert_eq!(parse(&labeler).unwrap_err().name(), "BadJwtIss");
    for bad in ["did:plc:yk4dd2qkboz2yv6tpubpc6co#", "#atproto_labeler", ""] {
        assert!(parse_of_any_issuer(&of(bad)).is_err(), "{bad:?}");
    }
    let bare = parse_of_any_issuer(&of("did:plc:yk4dd2qkboz2yv6tpubpc6co")).unwrap();
    assert_eq!(bare.service(), None);
}

#[test]
fn times_at_the_ends_of_the_number_range_are_refused_without_overflow() {
    assert_eq!(refusal(|c| c.exp = i64::MAX), "BadJwt");
    assert_eq!(refusal(|c| c.exp = i64::MIN), "JwtExpired");
    assert_eq!(refusal(|c| c.iat = Some(i64::MAX)), "BadJwt");
}

#[test]
fn a_token_for_any_method_lives_a_minute_and_passes_only_where_that_is_allowed() {
    let claims = Claims {
        lxm: None,
        ..claims()
    };
    let token = parse(&mint(&key(Curve::K256), &claims)).unwrap();
    token
        .check_claims(&Expected {
            method_required: false,
            ..expected()
        })
        .unwrap();
    let long = Claims {
        exp: NOW + 600,
        ..claims
    };
    let token = parse(&mint(&key(Curve::K256), &long)).unwrap();
    let error = token
        .check_claims(&Expected {
            method_required: false,
            ..expected()
        })
        .unwrap_err();
    assert_eq!(error.name(), "BadJwt");
}

fn with_header(header: &str) -> String {
    let good = mint(&key(Curve::K256), &claims());
    let rest = good.split_once('.').unwrap().1;
    format!("{}.{rest}", BASE64URL.encode(header))
}

#[test]
fn tokens_of_another_type_are_refused() {
    for typ in [
        "at+jwt",
        "AT+JWT",
        "refresh+jwt",
        "dpop+jwt",
        "atproto-space-credential+jwt",
    ] {
        let error = parse(&with_header(&format!(
            r#"{{"typ":"{typ}","alg":"ES256K"}}"#
        )))
        .unwrap_err();
        assert_eq!(error.name(), "BadJwtType", "{typ}");
    }
    let other_key =
        parse(&with_header(r##"{"alg":"ES256K","kid":"#atproto_label"}"##)).unwrap_err();
    assert_eq!(other_key.name(), "BadJwt");
    assert!(parse(&with_header(r##"{"alg":"ES256K","kid":"#atproto"}"##)).is_ok());
}

#[test]
fn no_algorithm_but_the_keys_own_verifies() {
    for alg in ["none", "HS256", "ES256", "es256k"] {
        let token = parse(&with_header(&format!(r#"{{"alg":"{alg}"}}"#))).unwrap();
        assert_eq!(
            token.verify(key(Curve::K256).public()).unwrap_err().name(),
            "BadJwtSignature",
            "{alg}"
        );
    }
}

#[test]
fn malformed_tokens_are_refused() {
    let good = mint(&key(Curve::K256), &claims());
    let cut = good.rsplit_once('.').unwrap().0;
    let cases = [
        String::new(),
        "a.b".into(),
        format!("{good}.x"),
        format!("{good}="),
        format!("{cut}."),
        "x".repeat(9000),
        format!("{cut}.AAAA"),
    ];
    for case in cases {
        assert_eq!(parse(&case).unwrap_err().name(), "BadJwt", "{case}");
    }
}
