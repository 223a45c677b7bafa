//! Reconfiguration where clients may ask for it: what is refused, what is done, who is told.
//!
//! Which members may go is known only when both have a leader: it has to be a follower of both. Nobody
//! joins, because that is done in another way here (`docs/protocol.md`).

use super::same_on;
use crate::configuration::ServerArg;
use crate::pair::{MEMBERS, Pair};
use crate::request::*;
use crate::run::SUPER_PROOF;
use crate::step::{Step, ask, burst, connect, fence};
use vivarium::wire::opcode;

const CONFIG: &str = "/zookeeper/config";
const ANY: i64 = -1;

/// Both, and a member that leads neither.
fn changeable() -> (Pair, usize) {
    let pair = Pair::start(MEMBERS, |options| options.zoo_cfg("reconfigEnabled=true"));
    let leaders = pair.clusters().map(|cluster| cluster.leader());
    let follower = (1..=MEMBERS).find(|member| !leaders.contains(member));
    (pair, follower.expect("two of three lead at most"))
}

fn shown(slot: usize, watch: bool) -> Step {
    ask(slot, read(opcode::GET_DATA, exactly(CONFIG), watch))
}

/// With a list of servers, as they were shown last, but for their parts.
fn servers(place: usize, servers: &[(usize, &'static str)], version: Field) -> Request {
    let list = servers.iter().map(|(number, part)| ServerArg {
        number: *number,
        part,
    });
    let mut request = reconfig(None, None, None, ANY);
    request.fields[place] = Field::Servers(list.collect());
    request.fields[3] = version;
    request
}

const JOINING: usize = 0;
const WHOLE: usize = 2;

/// Clients of the two members that stay: one that may do everything, and one that is nobody.
fn clients(gone: usize) -> Vec<Step> {
    let stay: Vec<usize> = (0..MEMBERS).filter(|member| member + 1 != gone).collect();
    vec![
        connect(0, stay[0]),
        connect(1, stay[1]),
        ask(0, auth("digest", SUPER_PROOF)),
        shown(0, false),
        shown(1, false),
    ]
}

#[test]
fn what_cannot_be_done_is_refused_alike() {
    let (pair, gone) = changeable();
    let mut steps = clients(gone);
    let texts: &[[Option<&str>; 3]] = &[
        [None, Some("three"), None],
        [None, Some("1,2"), None],
        [None, Some("1,2,3"), None],
        [None, Some("9"), Some("")],
        [None, Some(""), None],
        [Some(""), None, None],
        [Some("server.9"), None, None],
        [Some("server.9="), None, None],
        [Some("server.x=127.0.0.1:1:2;3"), None, None],
        [Some("server.9=127.0.0.1:1;3"), None, None],
        [Some("server.9=127.0.0.1:1:2"), None, None],
        [Some("server.9=127.0.0.1:1:2:voter;3"), None, None],
        [Some("server.9=127.0.0.1:x:2;3"), None, None],
        [Some("nonsense"), Some("nonsense"), None],
        [
            Some("server.9=127.0.0.1:1:2;3"),
            None,
            Some("server.1=h:1:2;3"),
        ],
        [None, None, Some("")],
        [None, None, Some("nonsense")],
        [None, None, Some("server.1=127.0.0.1:1:2:participant;3")],
        [None, None, Some("server.1=127.0.0.1:1:2:observer;3")],
        [None, None, Some("server.1=h:1:2,server.2=h:3:4,colour=red")],
    ];
    for slot in [0, 1] {
        for [joining, leaving, whole] in texts {
            steps.push(ask(slot, reconfig(*joining, *leaving, *whole, ANY)));
            steps.push(ask(slot, reconfig(*joining, *leaving, *whole, i64::MAX)));
        }
        let mut wrong_version = reconfig(None, Some("3"), None, ANY);
        wrong_version.fields[3] = Field::ConfigVersion(1);
        steps.push(ask(slot, wrong_version));
    }
    steps.push(ask(1, reconfig(None, Some("3"), None, ANY)));
    steps.extend([shown(0, false), shown(1, false)]);
    same_on(&pair, steps);
}

#[test]
fn a_server_changes_its_part_and_leaves_and_everybody_is_told_alike() {
    let (pair, gone) = changeable();
    let (anyway, seen) = (|| Field::Long(ANY), || Field::ConfigVersion(0));
    let (voter, observer) = ("participant", "observer");
    let others: Vec<usize> = (1..=MEMBERS).filter(|member| *member != gone).collect();
    let mut steps = clients(gone);
    let changes = [
        // As before, which is a new configuration all the same.
        reconfig(None, None, None, ANY),
        servers(JOINING, &[(gone, observer)], seen()),
        servers(JOINING, &[(gone, observer)], anyway()),
        servers(JOINING, &[(gone, voter)], seen()),
        servers(
            WHOLE,
            &[(others[0], voter), (gone, observer), (others[1], voter)],
            anyway(),
        ),
        reconfig(None, Some("9"), None, ANY),
        reconfig(None, Some(&gone.to_string()), None, ANY),
        reconfig(None, Some(&gone.to_string()), None, ANY),
        reconfig(None, Some(&others[0].to_string()), None, ANY),
        servers(WHOLE, &[(others[0], voter), (others[1], voter)], anyway()),
        servers(WHOLE, &[(others[0], voter)], anyway()),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let path = below(&format!("/{at}"));
        steps.push(ask(0, read(opcode::EXISTS, exactly(CONFIG), true)));
        steps.push(shown(1, true));
        steps.push(burst(
            0,
            vec![
                create(opcode::CREATE2, path.clone(), None, 0),
                change,
                read(opcode::GET_DATA, exactly(CONFIG), false),
                set_data(path, None, VersionArg::Is(-1)),
            ],
        ));
        steps.extend([fence(1), shown(1, false)]);
        // Whoever was told it later than it was done comes back with what it saw.
        let lists = vec![vec![exactly(CONFIG)], vec![], vec![]];
        steps.push(ask(1, set_watches(ZxidArg::Seen(1), lists)));
    }
    same_on(&pair, steps);
}
