package io.vivarium.plugin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.testkit.Threads;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.test.context.assertj.AssertableApplicationContext;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;

/** What the auto-configuration of each plugin does. */
public abstract class AutoConfigurationContract {
    @TempDir
    public Path directory;

    private final TestedPlugin<?> plugin;
    private final ApplicationContextRunner runner;

    protected AutoConfigurationContract(TestedPlugin<?> plugin) {
        this.plugin = plugin;
        runner = new ApplicationContextRunner().withConfiguration(AutoConfigurations.of(plugin.autoConfiguration));
    }

    @AfterEach
    public void nothingIsLeft() {
        Threads.awaitNone();
    }

    @Test
    public void withoutTheTypeThereIsNoRegistry() {
        runner.run(context -> assertTrue(context.getBeansOfType(plugin.type).isEmpty()));
        runner.withPropertyValues("registry.type=zookeeper")
            .run(context -> assertTrue(context.getBeansOfType(plugin.type).isEmpty()));
    }

    /** Without endpoints the host has a registry all the same, and a second one finds it at its address. */
    @Test
    public void withoutEndpointsTheRegistryIsEmbedded() {
        runner.withPropertyValues("registry.type=embedded", "registry.embedded.server.data-directory=" + directory,
            "registry.embedded.server.settings[timing.tick_ms]=500").run(context -> {
                PluginRegistry registry = (PluginRegistry) context.getBean(plugin.type);
                registry.put("/nodes/master/a:1", "here", true);
                String address = context.getBean(PluginRegistry.class).nativeAddress();
                runner.withPropertyValues("registry.type=embedded", "registry.embedded.endpoints=" + address)
                    .run(second -> assertEquals("here", plugin.asHost(second.getBean(plugin.type)).get("/nodes/master/a:1")));
                assertEquals("/" + plugin.namespace + "/nodes", registry.path("/nodes"));
                assertEquals("here", registry.client().registry().get(registry.path("/nodes/master/a:1")).text());
            });
    }

    @Test
    public void everyKeyIsBound() {
        PluginRegistry other = plugin.make(new EmbeddedRegistryProperties());
        withRegistry(plugin.type, other).withPropertyValues("registry.type=embedded",
            "registry.embedded.endpoints=a:1,b:2", "registry.embedded.namespace=/n", "registry.embedded.client-id=c",
            "registry.embedded.session-timeout=30s", "registry.embedded.heartbeat-refresh-interval=5s",
            "registry.embedded.connection-timeout=4s", "registry.embedded.block-until-connected=3s",
            "registry.embedded.username=u", "registry.embedded.password=p", "registry.embedded.token=t",
            "registry.embedded.tls.enabled=true", "registry.embedded.tls.trust-store=a.p12",
            "registry.embedded.tls.trust-store-password=s1", "registry.embedded.tls.trust-certificates=a.pem",
            "registry.embedded.tls.key-store=k.p12", "registry.embedded.tls.key-store-password=s2",
            "registry.embedded.tls.certificate-chain=c.pem", "registry.embedded.tls.private-key=k.pem",
            "registry.embedded.server.data-directory=d", "registry.embedded.server.binary=/b",
            "registry.embedded.server.client-port=1", "registry.embedded.server.native-port=2",
            "registry.embedded.server.admin-port=3", "registry.embedded.server.start-timeout=9s",
            "registry.embedded.bridge.from=zookeeper", "registry.embedded.bridge.read-from=embedded",
            "registry.embedded.bridge.plugin-package=p", "registry.embedded.bridge.copy=/c,/d").run(context -> {
                EmbeddedRegistryProperties properties = context.getBean(EmbeddedRegistryProperties.class);
                assertEquals(List.of("a:1", "b:2"), properties.getEndpoints());
                assertEquals(List.of("/n", "c", "u", "p", "t"), List.of(properties.getNamespace(), properties.getClientId(),
                    properties.getUsername(), properties.getPassword(), properties.getToken()));
                assertEquals(List.of(30L, 5L, 4L, 3L), List.of(properties.getSessionTimeout().getSeconds(),
                    properties.getHeartbeatRefreshInterval().getSeconds(), properties.getConnectionTimeout().getSeconds(),
                    properties.getBlockUntilConnected().getSeconds()));
                EmbeddedRegistryProperties.Tls tls = properties.getTls();
                assertTrue(tls.isEnabled());
                assertEquals(List.of("a.p12", "s1", "a.pem", "k.p12", "s2", "c.pem", "k.pem"), List.of(tls.getTrustStore(),
                    tls.getTrustStorePassword(), tls.getTrustCertificates(), tls.getKeyStore(), tls.getKeyStorePassword(),
                    tls.getCertificateChain(), tls.getPrivateKey()));
                EmbeddedRegistryProperties.Server server = properties.getServer();
                assertEquals(List.of("d", "/b"), List.of(server.getDataDirectory(), server.getBinary()));
                assertEquals(List.of(1, 2, 3), List.of(server.getClientPort(), server.getNativePort(), server.getAdminPort()));
                assertEquals(Duration.ofSeconds(9), server.getStartTimeout());
                EmbeddedRegistryProperties.Bridge bridge = properties.getBridge();
                assertEquals(List.of("zookeeper", "p"), List.of(bridge.getFrom(), bridge.getPluginPackage()));
                assertEquals(EmbeddedRegistryProperties.ReadFrom.EMBEDDED, bridge.getReadFrom());
                assertEquals(List.of("/c", "/d"), bridge.getCopy());
                assertSame(other, context.getBean(plugin.type), "one that the host has made is left alone");
            });
    }

    @Test
    public void aRegistryThatCannotBeHadStopsTheStartWithItsReason() {
        runner.withPropertyValues("registry.type=embedded", "registry.embedded.server.data-directory=" + directory,
            "registry.embedded.server.binary=/nowhere/vivarium").run(context -> stopped(context, "/nowhere/vivarium"));
    }

    /** Of a registry that is to be left, the host's own plugin is needed, and what it needs. */
    @Test
    public void aBridgeFromWhatIsNotThereStopsTheStartWithItsReason() {
        runner.withPropertyValues("registry.type=embedded", "registry.embedded.endpoints=127.0.0.1:1",
            "registry.embedded.bridge.from=etcd")
            .run(context -> stopped(context, "registry.embedded.bridge.from is etcd"));
    }

    /** The start failed with the host's exception, which names the reason. */
    private void stopped(AssertableApplicationContext context, String reason) {
        Throwable cause = context.getStartupFailure();
        assertNotNull(cause);
        while (!plugin.exception.isInstance(cause)) {
            cause = cause.getCause();
        }
        assertTrue(cause.getMessage().contains(reason), cause.getMessage());
    }

    /** What each of several masters with a registry of its own would otherwise not tell. */
    @Test
    public void aHostThatForgotItsEndpointsIsWarned() {
        ApplicationContextRunner host = runner.withPropertyValues("registry.type=embedded",
            "registry.embedded.server.data-directory=" + directory, "registry.embedded.server.binary=/nowhere/vivarium");
        List<String> said = warningsOf(host.withPropertyValues("registry.zookeeper.connect-string=a:2181,b:2181",
            "registry.hikariConfig.jdbcUrl=jdbc:mysql://a/b?password=secret"));
        assertEquals(1, said.size(), said.toString());
        String warning = said.get(0);
        assertTrue(warning.contains("registry.zookeeper.connect-string, registry.hikari-config.jdbc-url")
            && warning.contains("registry.embedded.endpoints") && !warning.contains("secret"), warning);
        String other = "registry.zookeeper.connect-string=";
        assertEquals(List.of(), warningsOf(host.withPropertyValues(other + "localhost:2181")));
        assertEquals(List.of(), warningsOf(host.withPropertyValues(other + "a:2181", "registry.embedded.endpoints=127.0.0.1:1",
            "registry.embedded.block-until-connected=300ms")));
    }

    /** Those of a host that does not come up, wherever it has its log. */
    private static List<String> warningsOf(ApplicationContextRunner host) {
        PrintStream out = System.out;
        PrintStream err = System.err;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        PrintStream into = new PrintStream(said, true, StandardCharsets.UTF_8);
        System.setOut(into);
        System.setErr(into);
        try {
            host.run(context -> assertNotNull(context.getStartupFailure()));
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
        return said.toString(StandardCharsets.UTF_8).lines()
            .filter(line -> line.contains("WARN") && line.contains(ForgottenEndpoints.class.getName()))
            .collect(Collectors.toList());
    }

    /** Spring Boot 2 and 3 look for auto-configurations in different places. */
    @Test
    public void bothGenerationsOfSpringBootFindIt() throws Exception {
        for (String place : new String[] {"META-INF/spring.factories",
            "META-INF/spring/org.springframework.boot.autoconfigure.AutoConfiguration.imports"}) {
            boolean found = false;
            for (java.net.URL url : java.util.Collections.list(plugin.autoConfiguration.getClassLoader().getResources(place))) {
                try (InputStream in = url.openStream()) {
                    found |= new String(in.readAllBytes(), StandardCharsets.UTF_8)
                        .contains(plugin.autoConfiguration.getName());
                }
            }
            assertTrue(found, place);
        }
    }

    /** A host with a registry of its own making. */
    private <T> ApplicationContextRunner withRegistry(Class<T> type, Object registry) {
        return runner.withBean(type, () -> type.cast(registry));
    }
}
