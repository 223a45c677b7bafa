package clients;

import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryForever;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.NoAuthException;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;

/**
 * TLS with certificates of both sides, as ZooKeeper's client and Curator speak it by stores of
 * Java's own. After the TLS port and the root come the plain port, the directory of the stores and
 * the ending of their names.
 */
final class Secured {
    private static final String PASSWORD = "changeit";
    private static final int ALL = 31;

    private final Program program;
    private final String secure;
    private final String plain;
    private final String directory;
    private final String ending;

    private Secured(String[] arguments) {
        program = new Program(arguments);
        secure = arguments[0];
        plain = arguments[2];
        directory = arguments[3];
        ending = arguments[4];
    }

    public static void main(String[] arguments) throws Exception {
        Secured secured = new Secured(arguments);
        secured.run();
    }

    private void run() throws Exception {
        try (Connection first = Connection.to(secure, tls("java"))) {
            first.client.create(program.root, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        }
        program.ready();
        program.prove("identity", "auth stands for the certificate's subject", this::identity);
        program.prove("versions", "TLS 1.2 is spoken as 1.3 is", this::versions);
        program.prove("admin", "the operator's subject passes every list", this::admin);
        program.prove("curator", "Curator's recipes work over TLS", this::curator);
        program.prove("strangers", "who does not fit the port is turned away", this::strangers);
        program.verdict();
    }

    private ZKClientConfig tls(String name) {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.SECURE_CLIENT, "true");
        config.setProperty(ZKClientConfig.ZOOKEEPER_CLIENT_CNXN_SOCKET, "org.apache.zookeeper.ClientCnxnSocketNetty");
        config.setProperty("zookeeper.ssl.keyStore.location", directory + '/' + name + '.' + ending);
        config.setProperty("zookeeper.ssl.keyStore.password", PASSWORD);
        config.setProperty("zookeeper.ssl.trustStore.location", directory + "/trust." + ending);
        config.setProperty("zookeeper.ssl.trustStore.password", PASSWORD);
        return config;
    }

    private void identity() throws Exception {
        String path = program.root + "/identity";
        try (Connection java = Connection.to(secure, tls("java"));
                Connection nobody = Connection.to(plain, new ZKClientConfig())) {
            Program.require(java.identities().equals(Set.of("ip:127.0.0.1", "x509:CN=java,O=Example")),
                    "the client is " + java.identities());
            Program.require(nobody.identities().equals(Set.of("ip:127.0.0.1")), "nobody is " + nobody.identities());
            java.client.create(path, Program.bytes("secret"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            List<ACL> stored = java.client.getACL(path, null);
            Program.require(stored.equals(List.of(new ACL(ALL, new Id("x509", "CN=java,O=Example")))),
                    "auth became " + stored);
            Program.refused(NoAuthException.class, "a client without a certificate reads",
                    () -> nobody.client.getData(path, false, null));
        }
    }

    private void versions() throws Exception {
        for (String version : List.of("TLSv1.2", "TLSv1.3")) {
            ZKClientConfig config = tls("java");
            config.setProperty("zookeeper.ssl.enabledProtocols", version);
            config.setProperty("zookeeper.ssl.protocol", version);
            try (Connection java = Connection.to(secure, config)) {
                byte[] data = new byte[900_000];
                Arrays.fill(data, (byte) version.length());
                String path = program.root + '/' + version;
                java.client.create(path, data, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
                byte[] found = java.client.getData(path, false, null);
                Program.require(Arrays.equals(found, data), "large data came back as others");
            }
        }
    }

    private void admin() throws Exception {
        List<ACL> others = Arrays.asList(new ACL(ALL, new Id("x509", "CN=somebody,O=Example")));
        String path = program.root + "/others";
        try (Connection java = Connection.to(secure, tls("java"));
                Connection admin = Connection.to(secure, tls("admin"))) {
            java.client.create(path, null, others, CreateMode.PERSISTENT);
            Program.refused(NoAuthException.class, "another subject writes",
                    () -> java.client.setData(path, null, -1));
            admin.client.setData(path, Program.bytes("set"), -1);
            Set<String> expected = new TreeSet<>(Set.of("ip:127.0.0.1", "super:", "x509:CN=admin,O=Example"));
            Program.require(admin.identities().equals(expected), "the operator is " + admin.identities());
        }
    }

    private void curator() throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.builder()
                .connectString(secure)
                .sessionTimeoutMs(Program.SESSION_TIMEOUT_MS)
                .retryPolicy(new RetryForever(50))
                .zkClientConfig(tls("java"))
                .build();
        client.start();
        try {
            String path = program.root + "/curator";
            InterProcessMutex mutex = new InterProcessMutex(client, path + "/mutex");
            mutex.acquire();
            Program.require(client.getChildren().forPath(path + "/mutex").size() == 1, "a mutex has no holder");
            LinkedBlockingQueue<String> told = new LinkedBlockingQueue<>();
            client.getChildren().usingWatcher((org.apache.zookeeper.Watcher) event -> told.add(event.getPath()))
                    .forPath(path + "/mutex");
            mutex.release();
            String changed = told.poll(60, TimeUnit.SECONDS);
            Program.require((path + "/mutex").equals(changed), "the watch is not told: " + changed);
        } finally {
            client.close();
        }
    }

    private void strangers() throws Exception {
        Connection.isTurnedAway(secure, tls("stranger"), "a certificate of somebody else's");
        Connection.isTurnedAway(secure, new ZKClientConfig(), "a client without TLS at the TLS port");
        Connection.isTurnedAway(plain, tls("java"), "a client with TLS at the plain port");
        ZKClientConfig bare = new ZKClientConfig();
        bare.setProperty(ZKClientConfig.SECURE_CLIENT, "true");
        bare.setProperty(ZKClientConfig.ZOOKEEPER_CLIENT_CNXN_SOCKET, "org.apache.zookeeper.ClientCnxnSocketNetty");
        bare.setProperty("zookeeper.ssl.trustStore.location", directory + "/trust." + ending);
        bare.setProperty("zookeeper.ssl.trustStore.password", PASSWORD);
        Connection.isTurnedAway(secure, bare, "a client without a certificate");
        Connection.to(secure, tls("java")).close();
    }
}
