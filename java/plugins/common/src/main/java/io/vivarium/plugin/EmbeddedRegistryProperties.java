package io.vivarium.plugin;

import java.nio.file.Paths;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The keys below {@code registry.embedded}; a bean, so that whatever binds a host's configuration can fill it.
 * {@code docs/java.md} has the table.
 */
public class EmbeddedRegistryProperties {
    /** A session outlives so many heartbeats that were not answered, at least. */
    static final int HEARTBEATS_PER_TIMEOUT_MIN = 3;

    private List<String> endpoints = new ArrayList<>();
    private String namespace;
    private String clientId = "";
    private Duration sessionTimeout = Duration.ofSeconds(60);
    private Duration heartbeatRefreshInterval = Duration.ofSeconds(3);
    private Duration connectionTimeout = Duration.ofSeconds(15);
    private Duration blockUntilConnected = Duration.ofSeconds(15);
    private String username;
    private String password;
    private String token;
    private Tls tls = new Tls();
    private Server server = new Server();
    private Bridge bridge = new Bridge();

    /** {@code HOST:PORT} of the native API of each member; without any, the plugin starts a server of its own. */
    public List<String> getEndpoints() {
        return endpoints;
    }

    public void setEndpoints(List<String> endpoints) {
        this.endpoints = endpoints;
    }

    /** The path, with or without its first slash, below which the host's keys are; the host's own name by default. */
    public String getNamespace() {
        return namespace;
    }

    public void setNamespace(String namespace) {
        this.namespace = namespace;
    }

    /** Who this host is over all its runs; nobody in particular by default. */
    public String getClientId() {
        return clientId;
    }

    public void setClientId(String clientId) {
        this.clientId = clientId;
    }

    /** Without a sign of life for so long, the session ends; the ensemble brings it within its bounds. */
    public Duration getSessionTimeout() {
        return sessionTimeout;
    }

    public void setSessionTimeout(Duration sessionTimeout) {
        this.sessionTimeout = sessionTimeout;
    }

    /** How often a sign of life is given: a third of the session timeout at most. */
    public Duration getHeartbeatRefreshInterval() {
        return heartbeatRefreshInterval;
    }

    public void setHeartbeatRefreshInterval(Duration heartbeatRefreshInterval) {
        this.heartbeatRefreshInterval = heartbeatRefreshInterval;
    }

    /** How long a call is tried, over all members. */
    public Duration getConnectionTimeout() {
        return connectionTimeout;
    }

    public void setConnectionTimeout(Duration connectionTimeout) {
        this.connectionTimeout = connectionTimeout;
    }

    /** How long the start waits for a member that serves. */
    public Duration getBlockUntilConnected() {
        return blockUntilConnected;
    }

    public void setBlockUntilConnected(Duration blockUntilConnected) {
        this.blockUntilConnected = blockUntilConnected;
    }

    /** With {@code password}, the digest identity that a ZooKeeper client gets for {@code username:password}. */
    public String getUsername() {
        return username;
    }

    public void setUsername(String username) {
        this.username = username;
    }

    public String getPassword() {
        return password;
    }

    public void setPassword(String password) {
        this.password = password;
    }

    /** A bearer token, instead of a name and a password. */
    public String getToken() {
        return token;
    }

    public void setToken(String token) {
        this.token = token;
    }

    public Tls getTls() {
        return tls;
    }

    public void setTls(Tls tls) {
        this.tls = tls;
    }

    public Server getServer() {
        return server;
    }

    public void setServer(Server server) {
        this.server = server;
    }

    public Bridge getBridge() {
        return bridge;
    }

    public void setBridge(Bridge bridge) {
        this.bridge = bridge;
    }

    /** The keys below {@code registry.embedded.tls}. */
    public static class Tls {
        private boolean enabled;
        private String trustStore;
        private String trustStorePassword = "";
        private String trustCertificates;
        private String keyStore;
        private String keyStorePassword = "";
        private String certificateChain;
        private String privateKey;

        /** Whether TLS is spoken; by default with the authorities that the Java runtime trusts. */
        public boolean isEnabled() {
            return enabled;
        }

        public void setEnabled(boolean enabled) {
            this.enabled = enabled;
        }

        /** A PKCS #12 or JKS file with the certificates that are trusted. */
        public String getTrustStore() {
            return trustStore;
        }

        public void setTrustStore(String trustStore) {
            this.trustStore = trustStore;
        }

        public String getTrustStorePassword() {
            return trustStorePassword;
        }

        public void setTrustStorePassword(String trustStorePassword) {
            this.trustStorePassword = trustStorePassword;
        }

        /** A PEM file with the certificates that are trusted. */
        public String getTrustCertificates() {
            return trustCertificates;
        }

        public void setTrustCertificates(String trustCertificates) {
            this.trustCertificates = trustCertificates;
        }

        /** A PKCS #12 or JKS file with the host's own key and certificate. */
        public String getKeyStore() {
            return keyStore;
        }

        public void setKeyStore(String keyStore) {
            this.keyStore = keyStore;
        }

        public String getKeyStorePassword() {
            return keyStorePassword;
        }

        public void setKeyStorePassword(String keyStorePassword) {
            this.keyStorePassword = keyStorePassword;
        }

        /** A PEM file with the host's own certificate and those above it; with {@code private-key}. */
        public String getCertificateChain() {
            return certificateChain;
        }

        public void setCertificateChain(String certificateChain) {
            this.certificateChain = certificateChain;
        }

        /** A PEM file with the host's own PKCS #8 key. */
        public String getPrivateKey() {
            return privateKey;
        }

        public void setPrivateKey(String privateKey) {
            this.privateKey = privateKey;
        }

        /** Whether any of it is given that is of no use where TLS is not spoken. */
        boolean hasFiles() {
            return trustStore != null || trustCertificates != null || keyStore != null || certificateChain != null
                || privateKey != null;
        }

        io.vivarium.client.Tls client() {
            io.vivarium.client.Tls tls = io.vivarium.client.Tls.system();
            if (trustStore != null) {
                tls = tls.trustStore(Paths.get(trustStore), trustStorePassword);
            }
            if (trustCertificates != null) {
                tls = tls.trustPem(Paths.get(trustCertificates));
            }
            if (keyStore != null) {
                tls = tls.keyStore(Paths.get(keyStore), keyStorePassword);
            }
            if (certificateChain != null || privateKey != null) {
                if (certificateChain == null || privateKey == null) {
                    throw new IllegalArgumentException("registry.embedded.tls.certificate-chain and "
                        + "registry.embedded.tls.private-key are given together or not at all");
                }
                tls = tls.keyPem(Paths.get(certificateChain), Paths.get(privateKey));
            }
            return tls;
        }
    }

    /** The keys below {@code registry.embedded.server}, of the server that is started without endpoints. */
    public static class Server {
        private String dataDirectory = "vivarium-data";
        private String binary;
        private int clientPort;
        private int nativePort;
        private int adminPort;
        private Duration startTimeout = Duration.ofSeconds(30);
        private Map<String, String> settings = new LinkedHashMap<>();

        /** Where its data are kept. */
        public String getDataDirectory() {
            return dataDirectory;
        }

        public void setDataDirectory(String dataDirectory) {
            this.dataDirectory = dataDirectory;
        }

        /** The program, instead of {@code VIVARIUM_BIN}, the packaged one, or one on the {@code PATH}. */
        public String getBinary() {
            return binary;
        }

        public void setBinary(String binary) {
            this.binary = binary;
        }

        /** Port of the ZooKeeper protocol on 127.0.0.1; 0 for one that is free. */
        public int getClientPort() {
            return clientPort;
        }

        public void setClientPort(int clientPort) {
            this.clientPort = clientPort;
        }

        /** Port of the native API on 127.0.0.1; 0 for one that is free. */
        public int getNativePort() {
            return nativePort;
        }

        public void setNativePort(int nativePort) {
            this.nativePort = nativePort;
        }

        /** Port of health and metrics on 127.0.0.1; 0 for one that is free. */
        public int getAdminPort() {
            return adminPort;
        }

        public void setAdminPort(int adminPort) {
            this.adminPort = adminPort;
        }

        /** How long its start may take. */
        public Duration getStartTimeout() {
            return startTimeout;
        }

        public void setStartTimeout(Duration startTimeout) {
            this.startTimeout = startTimeout;
        }

        /** Any other setting, as {@code vivarium settings} lists them. */
        public Map<String, String> getSettings() {
            return settings;
        }

        public void setSettings(Map<String, String> settings) {
            this.settings = settings;
        }
    }

    /** From which of two registries a node in a bridge reads, and is told of changes. */
    public enum ReadFrom {
        OLD, EMBEDDED
    }

    /** The keys below {@code registry.embedded.bridge}, while a host moves here from another registry. */
    public static class Bridge {
        /** Where these hosts have their nodes and locks, which end with a session and are never copied. */
        private static final List<String> OF_SESSIONS = Arrays.asList("/nodes", "/lock");

        private String from;
        private ReadFrom readFrom = ReadFrom.OLD;
        private String pluginPackage;
        private List<String> copy = new ArrayList<>();

        /** The {@code registry.type} that is to be left; without it there is no bridge. */
        public String getFrom() {
            return from;
        }

        public void setFrom(String from) {
            this.from = from;
        }

        public ReadFrom getReadFrom() {
            return readFrom;
        }

        public void setReadFrom(ReadFrom readFrom) {
            this.readFrom = readFrom;
        }

        /** Where the plugin of the old registry is looked for, if not where the host's plugins of that type are. */
        public String getPluginPackage() {
            return pluginPackage;
        }

        public void setPluginPackage(String pluginPackage) {
            this.pluginPackage = pluginPackage;
        }

        /** Keys whose entries, and those below them, are persistent: at the start they are copied where they are missing. */
        public List<String> getCopy() {
            return copy;
        }

        public void setCopy(List<String> copy) {
            this.copy = copy;
        }

        void check(List<String> endpoints) {
            if (from == null) {
                if (pluginPackage != null || !copy.isEmpty() || readFrom != ReadFrom.OLD) {
                    throw new IllegalArgumentException(
                        "registry.embedded.bridge.from must be given where other keys of registry.embedded.bridge are");
                }
                return;
            }
            if (from.isEmpty() || from.equals("embedded")) {
                throw new IllegalArgumentException(
                    "registry.embedded.bridge.from is the registry.type that is to be left, and is \"" + from + "\"");
            }
            if (endpoints == null || endpoints.isEmpty()) {
                throw new IllegalArgumentException("registry.embedded.bridge needs registry.embedded.endpoints: "
                    + "with a server of its own in each node, they would not see each other");
            }
            for (String key : copy) {
                boolean isPath = key.startsWith("/") && key.length() > 1 && !key.endsWith("/");
                if (!isPath || OF_SESSIONS.stream().anyMatch(other -> key.equals(other) || key.startsWith(other + "/"))) {
                    throw new IllegalArgumentException("registry.embedded.bridge.copy is of keys as /config, with nothing but "
                        + "persistent entries, not of \"" + key + "\"");
                }
            }
        }
    }

    /** Throws what is wrong with it, naming the keys. */
    void check() {
        positive("session-timeout", sessionTimeout);
        positive("heartbeat-refresh-interval", heartbeatRefreshInterval);
        positive("connection-timeout", connectionTimeout);
        positive("block-until-connected", blockUntilConnected);
        if (sessionTimeout.compareTo(heartbeatRefreshInterval.multipliedBy(HEARTBEATS_PER_TIMEOUT_MIN)) < 0) {
            throw new IllegalArgumentException("registry.embedded.session-timeout (" + sessionTimeout.toMillis()
                + " ms) must be at least " + HEARTBEATS_PER_TIMEOUT_MIN + " times registry.embedded.heartbeat-refresh-interval ("
                + heartbeatRefreshInterval.toMillis() + " ms)");
        }
        positive("server.start-timeout", server.getStartTimeout());
        bridge.check(endpoints);
        if (!tls.isEnabled() && tls.hasFiles()) {
            throw new IllegalArgumentException(
                "registry.embedded.tls.enabled must be true where other keys of registry.embedded.tls are given");
        }
        if ((username == null) != (password == null)) {
            throw new IllegalArgumentException(
                "registry.embedded.username and registry.embedded.password are given together or not at all");
        }
    }

    private static void positive(String key, Duration value) {
        if (value == null || value.isZero() || value.isNegative()) {
            throw new IllegalArgumentException("registry.embedded." + key + " must be more than nothing, and is " + value);
        }
    }
}
