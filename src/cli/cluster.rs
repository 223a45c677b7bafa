//! `vivarium cluster`: who belongs to the ensemble, and changing that.
//!
//! Talks to the peer port of any member; one that does not lead passes a change on to the leader.
//! Changes are never sent twice: an answer that was lost is told, and `status` shows what became of it.

use super::exit::Exit;
use crate::config::parse_member;
use crate::model::MemberAddresses;
use crate::raft::{
    AddObserverRequest, Addresses, ChangeResponse, Member, PromoteRequest, RemoveRequest,
    ReplaceRequest, StatusRequest, StatusResponse, TransferRequest, cluster_client::ClusterClient,
};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// A member that does not take a connection in this time is passed over.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Asking one thing.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub struct ClusterArgs {
    /// Peer ports of members; the first that answers is asked
    #[arg(
        long,
        global = true,
        value_delimiter = ',',
        default_value = "127.0.0.1:2192",
        value_name = "HOST:PORT"
    )]
    servers: Vec<String>,
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Subcommand, Debug)]
enum ClusterCommand {
    /// Show every member: role, how far it is, its digest
    Status,
    /// Add a member that waits with --join; it replicates, and does not vote yet
    Add {
        #[arg(value_name = "ID=HOST[:CLIENT[:PEER[:GRPC[:ADMIN]]]]", value_parser = parse_newcomer)]
        member: Newcomer,
    },
    /// Give a member that has caught up a vote
    Promote { id: u64 },
    /// Take a member out; its number is never used again
    Remove { id: u64 },
    /// Add a member, wait until it has caught up, and give it the place of another
    Replace {
        old: u64,
        #[arg(value_name = "ID=HOST[:CLIENT[:PEER[:GRPC[:ADMIN]]]]", value_parser = parse_newcomer)]
        new: Newcomer,
    },
    /// Hand leadership to a member
    Transfer { id: u64 },
}

/// A member to be added.
#[derive(Clone, Debug)]
struct Newcomer {
    id: u64,
    addresses: MemberAddresses,
}

fn parse_newcomer(text: &str) -> Result<Newcomer, String> {
    let (id, member) = parse_member(text)?;
    Ok(Newcomer {
        id: id.0,
        addresses: member.addresses,
    })
}

impl Newcomer {
    fn addresses(&self) -> Option<Addresses> {
        let MemberAddresses {
            client,
            peer,
            grpc,
            admin,
        } = self.addresses.clone();
        Some(Addresses {
            client,
            peer,
            grpc,
            admin,
        })
    }
}

/// None of the members that were named answers.
#[derive(Debug, thiserror::Error)]
#[error("no member answers ({0})")]
pub struct NobodyAnswers(String);

/// Runs the command to its end.
pub async fn run(args: ClusterArgs) -> anyhow::Result<Exit> {
    let mut member = connect_any(&args.servers).await?;
    let changed = match args.command {
        ClusterCommand::Status => {
            print!("{}", status(&mut member).await?);
            return Ok(Exit::Success);
        }
        ClusterCommand::Add { member: newcomer } => {
            let addresses = newcomer.addresses();
            member
                .add_observer(AddObserverRequest {
                    id: newcomer.id,
                    addresses,
                })
                .await
        }
        ClusterCommand::Promote { id } => member.promote(PromoteRequest { id }).await,
        ClusterCommand::Remove { id } => member.remove(RemoveRequest { id }).await,
        ClusterCommand::Replace { old, new } => {
            let addresses = new.addresses();
            member
                .replace(ReplaceRequest {
                    old,
                    new: new.id,
                    addresses,
                })
                .await
        }
        ClusterCommand::Transfer { id } => member.transfer_leader(TransferRequest { to: id }).await,
    };
    let ChangeResponse { members } = changed.map_err(refused)?.into_inner();
    for member in members {
        println!(
            "{}  {}  {}",
            member.id,
            role(&member),
            peer_address(&member)
        );
    }
    Ok(Exit::Success)
}

/// The sentence that the member gave; its code is for programs.
fn refused(status: tonic::Status) -> anyhow::Error {
    match status.message() {
        "" => anyhow::anyhow!("refused: {}", status.code()),
        why => anyhow::anyhow!("{why}"),
    }
}

async fn connect_any(servers: &[String]) -> Result<ClusterClient<Channel>, NobodyAnswers> {
    let mut why = Vec::new();
    for server in servers {
        match connect(server).await {
            Ok(member) => return Ok(member),
            Err(error) => why.push(format!("{server}: {error}")),
        }
    }
    Err(NobodyAnswers(why.join("; ")))
}

async fn connect(address: &str) -> Result<ClusterClient<Channel>, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await?;
    Ok(ClusterClient::new(channel))
}

async fn ask(member: &mut ClusterClient<Channel>) -> Result<StatusResponse, tonic::Status> {
    let mut request = tonic::Request::new(StatusRequest {});
    request.set_timeout(STATUS_TIMEOUT);
    Ok(member.status(request).await?.into_inner())
}

/// One member names all; each then speaks for itself.
async fn status(member: &mut ClusterClient<Channel>) -> anyhow::Result<String> {
    let known = ask(member).await.map_err(refused)?;
    let mut rows = Vec::new();
    for member in known.members {
        let answer = match connect(&peer_address(&member)).await {
            Ok(mut client) => ask(&mut client).await.ok(),
            Err(_) => None,
        };
        rows.push((member, answer));
    }
    let leader = known
        .leader
        .map_or("none".to_owned(), |leader| leader.to_string());
    let changing = if known.changing {
        ", a change of members is under way"
    } else {
        ""
    };
    Ok(format!(
        "{}\nterm {}, leader {leader}{changing}\n",
        table(&rows),
        known.term
    ))
}

fn table(rows: &[(Member, Option<StatusResponse>)]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "member",
        "votes",
        "role",
        "peer address",
        "applied",
        "zxid",
        "digest",
        "log bytes",
    ]);
    for (member, answer) in rows {
        let figures = match answer {
            Some(answer) => [
                answer.role.clone(),
                peer_address(member),
                answer.applied_index.to_string(),
                format!("0x{:x}", answer.zxid),
                format!("{:016x}", answer.digest),
                answer.log_bytes.to_string(),
            ],
            None => {
                let silent = ["does not answer", &peer_address(member), "", "", "", ""];
                silent.map(str::to_owned)
            }
        };
        let votes = if member.voter { "yes" } else { "no" };
        let first = [member.id.to_string(), votes.to_owned()];
        table.add_row(first.into_iter().chain(figures));
    }
    table
}

fn role(member: &Member) -> &'static str {
    if member.voter { "voter" } else { "observer" }
}

fn peer_address(member: &Member) -> String {
    member
        .addresses
        .as_ref()
        .map_or(String::new(), |addresses| addresses.peer.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_does_not_answer_has_its_row() {
        let addresses = Some(Addresses {
            peer: "b:2192".to_owned(),
            ..Addresses::default()
        });
        let silent = Member {
            id: 2,
            addresses,
            voter: true,
            matched_index: None,
        };
        let text = table(&[(silent, None)]).to_string();
        assert!(
            text.contains("does not answer") && text.contains("b:2192"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn an_ensemble_of_which_nobody_answers_is_told_with_every_address() {
        let servers = ["127.0.0.1:1".to_owned(), "not an address".to_owned()];
        let told = connect_any(&servers).await.unwrap_err().to_string();
        assert!(servers.iter().all(|server| told.contains(server)), "{told}");
    }
}
