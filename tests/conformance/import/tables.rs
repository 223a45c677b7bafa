//! Dumps of DolphinScheduler's registry table.

use super::{directory, refused, show_state, to_file};
use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use vivarium::import::table::TABLE_BYTES_MAX;
use vivarium::testing::eventually;
use vivarium::testing::processes::PATIENCE;

#[test]
fn a_dump_becomes_znodes_below_the_namespace() {
    let dump = directory().join("registry.tsv");
    let text = "id\tdata_key\tdata_value\tdata_type\tlast_term\tlast_update_time\tcreate_time\n\
        1\t/nodes/master\t\t2\t0\t2024-05-01 10:00:01\t2024-05-01 10:00:00\n\
        2\t/nodes/master/10.0.0.1:5678\t{\"port\":5678}\t1\t5\t2024-05-01 10:00:01\t2024-05-01 10:00:00\n\
        3\t/nodes/worker\tw\t2\t0\t2024-05-01 10:00:01\t2024-05-01 10:00:00\n";
    fs::write(&dump, text).unwrap();
    let source = ["table", dump.to_str().unwrap(), "--at", "/dolphinscheduler"];
    let (report, state) = to_file(&source);
    assert_eq!(report["ephemerals_left_out"], 1, "{report:#}");
    assert_eq!(report["problems_count"], 0, "{report:#}");
    let found = show_state(&state);
    assert_eq!(
        found["/dolphinscheduler/nodes/worker"].data.as_deref(),
        Some(&b"w"[..])
    );
    assert_eq!(found["/dolphinscheduler/nodes"].children, 2);
    assert!(!found.keys().any(|path| path.contains("5678")));

    let absent = [&source[..2], &["--under", "/absent", "--dry-run"]].concat();
    let (code, why) = refused(&absent);
    assert!(code == 1 && why.contains("/absent"), "{why}");
    fs::File::create(&dump)
        .unwrap()
        .set_len(TABLE_BYTES_MAX + 1)
        .unwrap();
    let (code, why) = refused(&["table", dump.to_str().unwrap(), "--dry-run"]);
    assert!(code == 1 && why.contains("are read at most"), "{why}");

    fs::write(&dump, "-- MariaDB dump 10.19\n").unwrap();
    let (code, why) = refused(&["table", dump.to_str().unwrap(), "--dry-run"]);
    assert!(code == 1 && why.contains("mysql --batch"), "{why}");
}

/// A server that ends with its handle.
struct Database {
    server: Child,
    socket: String,
}

impl Database {
    fn start() -> Database {
        let directory = directory();
        let data = format!("--datadir={}", directory.join("data").display());
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--user=root", "--skip-test-db", &data]);
        install.arg("--auth-root-authentication-method=normal");
        let done = install.output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let socket = directory.join("socket").display().to_string();
        let server = Command::new("mariadbd")
            .args(["--no-defaults", "--user=root", "--skip-networking", &data])
            .arg(format!("--socket={socket}"))
            .stderr(fs::File::create(directory.join("log")).unwrap())
            .spawn()
            .unwrap();
        let database = Database { server, socket };
        eventually("MariaDB serves", PATIENCE, || {
            UnixStream::connect(&database.socket).ok()
        });
        database
    }

    /// What `mariadb --batch`, which `mysql --batch` is another name of, prints.
    fn print(&self, sql: &str) -> Vec<u8> {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--user=root", "--batch", "--execute", sql]);
        let done = client.arg(format!("--socket={}", self.socket)).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{done:?}");
        done.stdout
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn what_a_database_prints_is_what_the_host_wrote() {
    if Command::new("mariadbd").arg("--version").output().is_err() {
        eprintln!("there is no MariaDB on the path; the dump above stands for what it prints");
        return;
    }
    let database = Database::start();
    database.print(
        "create database ds; create table ds.t_ds_jdbc_registry_data (\
         id bigint not null auto_increment primary key, data_key varchar(256) not null unique, \
         data_value text not null, data_type tinyint not null, last_term bigint not null, \
         last_update_time timestamp null, create_time timestamp null); \
         set time_zone = '+00:00'; insert into ds.t_ds_jdbc_registry_data values \
         (1, '/nodes/master', '', 2, 0, '2024-05-01 10:00:01', '2024-05-01 10:00:00'), \
         (2, '/nodes/master/10.0.0.1:5678', '{\"port\": 5678}', 1, 9, null, null), \
         (3, '/queue/a b', 'tab\\tline\\nback\\\\slash NULL \u{e4}', 2, 0, null, null), \
         (4, '/queue/null', 'NULL', 2, 0, null, null)",
    );
    let dump = directory().join("registry.tsv");
    let select = "set time_zone = '+00:00'; select * from ds.t_ds_jdbc_registry_data";
    fs::write(&dump, database.print(select)).unwrap();
    let (report, state) = to_file(&["table", dump.to_str().unwrap()]);
    assert_eq!(report["ephemerals_left_out"], 1, "{report:#}");
    let found = show_state(&state);
    let text = "tab\tline\nback\\slash NULL \u{e4}";
    assert_eq!(found["/queue/a b"].data.as_deref(), Some(text.as_bytes()));
    assert_eq!(found["/queue/null"].data.as_deref(), Some(&b"NULL"[..]));
    assert_eq!(found["/nodes/master"].ctime_ms, 1_714_557_600_000);
    assert_eq!(found["/nodes/master"].mtime_ms, 1_714_557_601_000);
    assert_eq!(found["/"].children, 3);
}
