//! Addresses that people are told: those that answer, also behind a proxy that serves us below a path.

use crate::rounds::wait_for;
use crate::support::{Package, Setup, TestApp};
use protocol::round::Step;
use protocol::submission::State;
use reqwest::{Client, Method, header, redirect};

async fn page(app: &TestApp, target: &str) -> String {
    app.miner(1).get(target).await.text().await.unwrap()
}

/// The links of a page that begin at the host's root.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("=\"").skip(1).filter_map(|rest| rest.split('"').next()).filter(|link| link.starts_with('/'))
}

#[tokio::test]
async fn copy_blocks_name_the_address_that_answers() {
    let app = TestApp::with_open_packages(Setup::default()).await;
    let id = app.miner(1).submit(&Package::mlp(&[16], 1)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    for target in [
        "/competitions/digits".into(),
        format!("/submissions/{id}"),
        "/teachers/digits/raw/main/README.md".into(),
        format!("/submissions/{id}/raw/main/README.md"),
        format!("/submissions/{id}/raw/main/.eval_results/digits.yaml"),
    ] {
        let text = page(&app, &target).await;
        // Each command that asks a validator says which, or was told by the line before it.
        for block in text.split("<pre class=\"command\"><code>").skip(1).filter_map(|rest| rest.split("</code>").next())
        {
            let asks = block.lines().filter(|line| line.starts_with("retort ") && !line.starts_with("retort keys"));
            for line in asks {
                assert!(
                    line.contains(&app.url("")) || block.starts_with("export RETORT_VALIDATOR="),
                    "{target}: {line}"
                );
            }
        }
        // So do those in the text. What anybody may ask of several validators names none.
        for line in
            ["retort pull ", "retort board ", "retort verify "].into_iter().flat_map(|it| text.split(it).skip(1))
        {
            let line = line.split(['<', '`', '\n']).next().unwrap_or_default();
            assert!(line.contains(&app.url("")), "{target}: {line}");
        }
        assert!(text.contains(&app.url("")), "{target} names {}: {text}", app.url(""));
        assert!(!text.contains("127.0.0.1:7070") && !text.contains(":0\""), "{target}: {text}");
    }
}

#[tokio::test]
async fn behind_a_proxy_that_serves_us_below_a_path_every_link_leads_below_it() {
    let mut setup = Setup::default();
    setup.config.public_url = "http://shared.example/hf/".into();
    let app = TestApp::with_competition(setup).await;
    for target in ["/", "/api", "/competitions/digits", "/competitions/nothing"] {
        // What the proxy asks, as browsers do, for something compressed.
        let response = Client::new().get(app.url(target)).header(header::ACCEPT_ENCODING, "gzip").send().await.unwrap();
        let text = response.text().await.unwrap();
        assert!(links(&text).count() > 0, "{target} has links: {text}");
        for link in links(&text) {
            assert!(link.starts_with("/hf/"), "{target} leads to {link}");
        }
    }
    let board = page(&app, "/competitions/digits").await;
    let card = page(&app, "/teachers/digits/raw/main/README.md").await;
    assert!(card.contains("HF_ENDPOINT=http://shared.example/hf\n"), "{card}");
    let style = links(&board).find(|link| link.contains("style.css")).unwrap();
    let style = page(&app, style.strip_prefix("/hf").unwrap()).await;
    assert!(style.contains("url(\"fonts/"), "beside the stylesheet, wherever that is: {style}");

    let stays = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let redirect = stays.get(app.url("/arena/digits")).send().await.unwrap();
    assert_eq!(redirect.headers()[header::LOCATION], "/hf/competitions/digits");
}

#[tokio::test]
async fn pages_of_others_read_what_is_public_and_nothing_of_the_operator() {
    let app = TestApp::with_competition(Setup::default()).await;
    let client = Client::new();
    let from_elsewhere = |method: Method, target: &str| {
        client.request(method, app.url(target)).header(header::ORIGIN, "https://elsewhere.example")
    };
    for target in ["/api/v1/competitions", "/api/models/arena/digits", "/log/checkpoint", "/api/v1/nothing"] {
        let answer = from_elsewhere(Method::GET, target).send().await.unwrap();
        let headers = answer.headers();
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{target}");
        assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        // What a browser asks first where a header isn't one of the plain ones.
        let asked = from_elsewhere(Method::OPTIONS, target)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,range");
        let answer = asked.send().await.unwrap();
        assert!(answer.status().is_success(), "{target}: {}", answer.status());
        let allowed = answer.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        assert!(allowed.contains("authorization") && allowed.contains("range"), "{allowed}");
    }
    for target in ["/operator", "/api/v1/operator", "/metrics"] {
        let answer = from_elsewhere(Method::GET, target).send().await.unwrap();
        assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{target}");
        assert_eq!(answer.headers()["cross-origin-resource-policy"], "same-origin");
    }
}

/// What people type, shorten and paste into a browser.
#[tokio::test]
async fn whatever_is_not_there_is_a_page_for_browsers_and_a_slash_at_the_end_leads_on() {
    let mut app = TestApp::with_competition(Setup::default()).await;
    app.leave_unfinished();
    let id = app.miner(1).announce("digits", &Package::mlp(&[8], 1)).await.unwrap().id;
    let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let get = async |app: &TestApp, target: &str, accept: &str| {
        client.get(app.url(target)).header(header::ACCEPT, accept).send().await.unwrap()
    };
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for target in [
        "/nothing",
        "/competitions",
        "/competitions/nothing",
        "/arena",
        "/index.html",
        "/arena/digits/blob/main/config.json",
        "/arena/nothing/resolve/main/config.json",
        "/%ff",
        &format!("/submissions/{id}/report?gclid=3"),
    ] {
        let page = get(&app, target, browser).await;
        let (status, kind) = (page.status(), page.headers()[header::CONTENT_TYPE].clone());
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("script-src"), "{target}");
        let text = page.text().await.unwrap();
        assert!(status.is_client_error() && kind == "text/html; charset=utf-8", "{target}: {status} {kind:?}");
        assert!(text.contains("Back to the competitions") && text.contains("href=\"/assets/"), "{target}: {text}");
        // Programs are told as before.
        let told = get(&app, target, "*/*").await;
        let kind = told.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        assert!(kind == "application/problem+json" || target == "/competitions/nothing", "{target}: {kind}");
    }
    let api = get(&app, "/api/v1/nothing", browser).await;
    assert_eq!(api.headers()[header::CONTENT_TYPE], "application/problem+json");
    for (target, leads) in [
        ("/competitions/digits/", "/competitions/digits"),
        ("/competitions/digits/?sort=latency&x=%2F", "/competitions/digits?sort=latency&x=%2F"),
        ("/competitions/digits/rounds/1/", "/competitions/digits/rounds/1"),
        ("/arena/digits/", "/arena/digits"),
        ("/api/", "/api"),
        ("/api/v1/competitions//", "/api/v1/competitions"),
    ] {
        let answer = get(&app, target, browser).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[header::LOCATION]),
            (308, &leads.parse().unwrap()),
            "{target}"
        );
    }
    for elsewhere in ["//elsewhere.example/", "///", "/\\elsewhere.example/"] {
        let answer = get(&app, elsewhere, browser).await;
        assert!(!answer.headers().contains_key(header::LOCATION), "{elsewhere}: {answer:?}");
    }
    let mut setup = Setup::default();
    setup.config.public_url = "https://arena.example/hf".into();
    let below = TestApp::with_competition(setup).await;
    let answer = get(&below, "/competitions/digits/?x", browser).await;
    assert_eq!(answer.headers()[header::LOCATION], "/hf/competitions/digits?x");
    let page = get(&below, "/nothing", browser).await.text().await.unwrap();
    assert!(
        page.contains("href=\"/hf/\"") && page.contains("href=\"/hf/assets/") && !page.contains("href=\"/assets/"),
        "{page}"
    );
}

/// As social networks, newsletters and advertisements leave them.
#[tokio::test]
async fn a_shared_link_leads_where_it_led_before_it_was_shared() {
    let app = TestApp::with_open_packages(Setup::default()).await;
    let miner = app.miner(1);
    let id = miner.submit(&Package::mlp(&[16], 1)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    wait_for(&app, 1, Step::Open).await;
    for target in
        ["/", "/api", "/competitions/digits", "/competitions/digits?sort=latency", "/competitions/digits/rounds/1"]
            .map(str::to_owned)
            .into_iter()
            .chain([
                format!("/submissions/{id}"),
                format!("/miners/{}", miner.hotkey()),
                format!("/miners/{}?before=9", miner.hotkey()),
            ])
    {
        let mark = if target.contains('?') { "&" } else { "?" };
        for more in ["fbclid=x", "utm_source=mail&utm_medium=", "gclid", "ref=a%20b&mc_cid=1"] {
            let status = miner.get(&format!("{target}{mark}{more}")).await.status();
            assert_eq!(status, 200, "{target}{mark}{more}");
        }
    }
}
