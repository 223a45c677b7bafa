//! `vivarium registry`: entries.

use super::exit::Exit;
use super::native::{ClientArgs, Ending, Failed};
use super::output::{Format, Value, or_none, session, table};
use crate::client::{Client, Entry, Lifetime, OnConflict, Registration};
use clap::{Args, Subcommand};
use futures::TryStreamExt;
use serde::Serialize;

#[derive(Args, Debug)]
pub struct RegistryArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: RegistryCommand,
}

#[derive(Subcommand, Debug)]
enum RegistryCommand {
    /// Register an entry, and keep it until interrupted; with --persistent, until it is removed
    Register {
        path: String,
        #[arg(default_value = "")]
        value: String,
        /// The entry stays when this command ends
        #[arg(long)]
        persistent: bool,
        /// Take it from whichever session has it
        #[arg(long)]
        take_over: bool,
        /// Only who proves the same identity may read or change it
        #[arg(long)]
        private: bool,
    },
    /// Remove an entry; that there is none is no error
    Unregister {
        path: String,
        /// With everything below it
        #[arg(long, conflicts_with = "if_version")]
        recursive: bool,
        /// Only if it has this version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i32>,
    },
    /// Set the value of an entry that is there
    Update {
        path: String,
        value: String,
        /// Only if it has this version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i32>,
    },
    /// Show an entry with its value
    Get { path: String },
    /// Show the entries below a path with their values
    List {
        #[arg(default_value = "/")]
        path: String,
        /// How far below the path: 1 for its children; 0: all
        #[arg(long, default_value_t = 1)]
        depth: u32,
    },
    /// Show the names of the entries right below a path
    Children {
        #[arg(default_value = "/")]
        path: String,
    },
}

/// Runs the command to its end.
pub async fn run(args: RegistryArgs) -> anyhow::Result<Exit> {
    let output = args.client.output;
    let work = async |client: &Client| carry_out(client, output, args.command).await;
    args.client.run(work).await
}

async fn carry_out(
    client: &Client,
    output: Format,
    command: RegistryCommand,
) -> anyhow::Result<Exit> {
    let registry = client.linearizable().registry();
    match command {
        RegistryCommand::Register {
            path,
            value,
            persistent,
            take_over,
            private,
        } => {
            let wanted = Registration {
                lifetime: match persistent {
                    true => Lifetime::Persistent,
                    false => Lifetime::Session,
                },
                on_conflict: match take_over {
                    true => OnConflict::TakeOver,
                    false => OnConflict::Unspecified,
                },
                private,
                ..Registration::new(path, value)
            };
            let path = wanted.path.clone();
            let ending = Ending::listen()?;
            let registered = registry.register_as(wanted).await.map_err(Failed::from)?;
            let done = Written {
                path: &path,
                zxid: Some(registered.zxid),
                version: None,
                removed: None,
            };
            output.show_next(&done, || match persistent {
                true => format!("registered {path}\n"),
                false => format!("registered {path} until this command is interrupted\n"),
            })?;
            if !persistent {
                return hold(client, ending).await;
            }
        }
        RegistryCommand::Unregister {
            path,
            recursive,
            if_version,
        } => {
            let removed = match recursive {
                true => registry.unregister_all(&path).await,
                false => registry.unregister(&path, if_version).await,
            };
            let removed = removed.map_err(Failed::from)?;
            let done = Written {
                path: &path,
                zxid: None,
                version: None,
                removed: Some(removed),
            };
            output.show(&done, || match removed {
                0 => format!("there is no {path}\n"),
                1 => format!("removed {path}\n"),
                many => format!("removed {path} and what was below it, {many} entries\n"),
            })?;
        }
        RegistryCommand::Update {
            path,
            value,
            if_version,
        } => {
            let version = registry.update(&path, value, if_version).await;
            let version = version.map_err(Failed::from)?;
            let done = Written {
                path: &path,
                zxid: None,
                version,
                removed: None,
            };
            output.show(&done, || match version {
                Some(version) => format!("updated {path}, version {version}\n"),
                None => format!("updated {path}\n"),
            })?;
        }
        RegistryCommand::Get { path } => {
            let entry = registry.get(&path).await.map_err(Failed::from)?;
            let shown = Shown::from(entry);
            output.show(&shown, || shown.page())?;
        }
        RegistryCommand::List { path, depth } => {
            let entries = registry.list(&path, depth).map_ok(Shown::from);
            let entries: Vec<Shown> = entries.try_collect().await.map_err(Failed::from)?;
            output.show(&entries, || {
                let rows = entries.iter().map(|entry| {
                    [
                        entry.path.clone(),
                        entry.version.to_string(),
                        or_none(&entry.session),
                        entry.value.to_string(),
                    ]
                });
                table(["path", "version", "session", "value"], rows)
            })?;
        }
        RegistryCommand::Children { path } => {
            let names: Vec<String> = registry
                .children(&path)
                .try_collect()
                .await
                .map_err(Failed::from)?;
            output.show(&names, || {
                names
                    .iter()
                    .map(|name| super::output::printable(name) + "\n")
                    .collect()
            })?;
        }
    }
    Ok(Exit::Success)
}

/// Keeps the session until the command is to end, or the session has ended.
async fn hold(client: &Client, mut ending: Ending) -> anyhow::Result<Exit> {
    let mut states = client.states();
    let lost = async {
        while let Some(state) = states.next().await {
            if state == crate::client::ConnectionState::Lost {
                break;
            }
        }
    };
    tokio::select! {
        _ = ending.asked() => {}
        () = lost => return Err(Failed::from(crate::client::Error::SessionLost).into()),
    }
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct Written<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    zxid: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<u32>,
}

/// An entry as it is printed.
#[derive(Serialize)]
struct Shown {
    path: String,
    #[serde(flatten)]
    value: Value,
    version: i32,
    /// As ZooKeeper prints it; `null` for persistent entries.
    session: Option<String>,
    created_zxid: i64,
    modified_zxid: i64,
    created_ms: i64,
    modified_ms: i64,
    children: i32,
}

impl From<Entry> for Shown {
    fn from(entry: Entry) -> Shown {
        Shown {
            path: entry.path,
            value: Value::of(&entry.value),
            version: entry.version,
            session: session(entry.session_id),
            created_zxid: entry.created_zxid,
            modified_zxid: entry.modified_zxid,
            created_ms: entry.created_ms,
            modified_ms: entry.modified_ms,
            children: entry.children,
        }
    }
}

impl Shown {
    fn page(&self) -> String {
        let rows = [
            ["path".to_owned(), self.path.clone()],
            ["value".to_owned(), self.value.to_string()],
            ["version".to_owned(), self.version.to_string()],
            ["session".to_owned(), or_none(&self.session)],
            ["created".to_owned(), format!("0x{:x}", self.created_zxid)],
            ["modified".to_owned(), format!("0x{:x}", self.modified_zxid)],
            ["children".to_owned(), self.children.to_string()],
        ];
        table(["", "entry"], rows)
    }
}
