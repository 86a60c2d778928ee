//! Without a model's id of a hub, no connection is opened, whatever the environment offers.
#![cfg(all(feature = "hub", feature = "embedded"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::Command;

use common::{Ended, Fixture};

const RUNS: [&[&str]; 3] = [
    &["--max_steps=1", "--batch_size=1"],
    &["--model_name=model", "--train_csv=train.csv", "--max_steps=1", "--val_split=0"],
    &["--model_name=./model", "--train_csv=train.csv", "--self_test"],
];

/// The program with every way to a network pointing at `url`, and nothing that forbids it.
fn tempted(fixture: &Fixture, url: &str, args: &[&str]) -> Command {
    let mut command = fixture.command(args);
    command.env_remove("HF_HUB_OFFLINE").env("HF_ENDPOINT", url).env("HF_TOKEN", "hf_secret");
    for proxy in
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    {
        command.env(proxy, url);
    }
    command
}

#[test]
fn nothing_is_asked_of_a_hub_or_a_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    for args in RUNS {
        let fixture = Fixture::new();
        Ended::from(tempted(&fixture, &url, args).output().unwrap()).ok();
        let connection = listener.accept();
        assert!(
            connection.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
            "{args:?}: {connection:?}"
        );
    }
    // The same listener does see who asks it: a hub's id is no local folder.
    let fixture = Fixture::new();
    let mut child = tempted(&fixture, &url, &["--model_name=owner/name", "--train_csv=train.csv"])
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while listener.accept().is_err() {
        assert!(std::time::Instant::now() < deadline, "a hub's id is not asked for");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn no_network_is_missed_where_there_is_none() {
    let can = Command::new("unshare").args(["-rn", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("skipped: no user name spaces here (unshare -rn)");
        return;
    }
    for args in RUNS {
        let fixture = Fixture::new();
        let plain = tempted(&fixture, "http://127.0.0.1:9", args);
        let mut command = Command::new("unshare");
        command.arg("-rn").arg(plain.get_program()).args(plain.get_args());
        command.current_dir(fixture.path("")).env_remove("HF_HUB_OFFLINE");
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Ended::from(command.output().unwrap()).ok();
    }
}
