//! Dubbo 3: its registry on ZooKeeper, by its own classes. Providers register and go, consumers are told,
//! and both find their way back when a member is killed and when a session is lost.

use crate::faults::{Fault, Load, hosts_from, survive};
use crate::java::Module;
use crate::program::Program;
use crate::{scratch, three_members};
use vivarium::testing::eventually;
use vivarium::testing::processes::PATIENCE;
use vivarium::testing::raw_client::RawClient;

const ROOT: &str = "/dubbo";
const PROVIDERS: &str = "/dubbo/com.example.Orders/providers";
const TIMEOUT_MS: i32 = 60_000;

fn registries(fault: Fault) {
    survive(
        fault,
        &Load {
            name: "dubbo-registries",
            step: 20,
            command: &|hosts| Module::Dubbo.program("Registries", hosts, ROOT),
        },
    );
}

#[test]
fn consumers_are_told_of_every_provider_when_the_leader_is_killed() {
    registries(Fault::KillLeader);
}

#[test]
fn consumers_are_told_of_every_provider_when_a_follower_is_killed() {
    registries(Fault::KillFollower);
}

/// Who holds the only provider there is; `None` if there is none.
fn owner(client: &mut RawClient) -> Option<i64> {
    let names = client.children(PROVIDERS).ok()?;
    let name = names.first()?;
    let stat = client.exists(&format!("{PROVIDERS}/{name}")).unwrap()?;
    assert_eq!(names.len(), 1, "{names:?}");
    assert_ne!(stat.ephemeral_owner, 0);
    Some(stat.ephemeral_owner)
}

#[test]
fn a_provider_that_lost_its_session_registers_again_and_consumers_are_told_of_both() {
    let cluster = three_members();
    let hosts = hosts_from(&cluster, cluster.leader());
    let start = |class: &str| {
        let command = Module::Dubbo.program(class, &hosts, ROOT);
        let program = Program::start(&format!("dubbo-{class}"), command, &scratch("logs"));
        program.await_ready();
        program
    };
    let consumer = start("Consumer");
    let provider = start("Provider");
    consumer.await_total(1);
    let mut client = RawClient::connect(cluster.client_address(2), TIMEOUT_MS).unwrap();
    client.sync().unwrap();
    let before = owner(&mut client).unwrap();

    provider.pause();
    eventually("the provider's session ends", PATIENCE, || {
        owner(&mut client).is_none().then_some(())
    });
    consumer.await_total(2);

    provider.resume();
    let after = eventually("the provider registers again", PATIENCE, || {
        owner(&mut client)
    });
    assert_ne!(after, before, "the session had ended");
    consumer.await_total(3);

    provider.finish();
    consumer.await_total(4);
    assert_eq!(consumer.finish()["left"], 0);
}
