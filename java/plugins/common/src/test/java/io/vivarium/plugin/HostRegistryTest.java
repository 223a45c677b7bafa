package io.vivarium.plugin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.client.Reason;
import io.vivarium.client.VivariumException;
import io.vivarium.embedded.EmbeddedRegistryException;
import io.vivarium.embedded.EmbeddedRegistryExtension;
import io.vivarium.embedded.EmbeddedRegistryServer;
import io.vivarium.testkit.Background;
import io.vivarium.testkit.Certificates;
import io.vivarium.testkit.DirectMemory;
import io.vivarium.testkit.Recorder;
import io.vivarium.testkit.Threads;
import io.vivarium.testkit.Waiting;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

class HostRegistryTest {
    /** Sessions end soon after their hosts fall silent. */
    @RegisterExtension
    static final EmbeddedRegistryExtension SERVER = new EmbeddedRegistryExtension(EmbeddedRegistryServer.builder()
        .setting("timing.tick_ms", "100"));

    static final class HostException extends RuntimeException {
        HostException(String message, Throwable cause) {
            super(message, cause);
        }
    }

    private static int count;
    private final List<HostRegistry> open = new ArrayList<>();
    private String namespace;

    @BeforeEach
    void aNamespaceOfItsOwn() {
        namespace = "/host-" + ++count;
    }

    @AfterEach
    void nothingIsLeft() {
        open.forEach(HostRegistry::close);
        Waiting.until("threads are gone", Threads::ours, () -> Threads.ours().stream()
            .allMatch(thread -> thread.getName().startsWith("vivarium-embedded")));
    }

    static EmbeddedRegistryProperties properties(String... endpoints) {
        EmbeddedRegistryProperties properties = new EmbeddedRegistryProperties();
        properties.setEndpoints(List.of(endpoints));
        properties.setSessionTimeout(Duration.ofSeconds(2));
        properties.setHeartbeatRefreshInterval(Duration.ofMillis(400));
        properties.setBlockUntilConnected(Duration.ofSeconds(10));
        return properties;
    }

    private HostRegistry registry(EmbeddedRegistryProperties properties) {
        if (properties.getNamespace() == null) {
            properties.setNamespace(namespace);
        }
        HostRegistry registry = new HostRegistry(properties, "default", HostException::new);
        open.add(registry);
        return registry;
    }

    private HostRegistry started() {
        HostRegistry registry = registry(properties(SERVER.getServer().getNativeAddress()));
        registry.start();
        return registry;
    }

    private static String refused(org.junit.jupiter.api.function.Executable call, String... words) {
        HostException refused = assertThrows(HostException.class, call);
        for (String word : words) {
            assertTrue(refused.getMessage().contains(word), () -> word + " is not in: " + refused.getMessage());
        }
        return refused.getMessage();
    }

    private static Recorder<Change> follow(HostRegistry registry, String key) {
        Recorder<Change> told = new Recorder<>(change -> change.type() + " " + change.path() + "=" + change.data());
        registry.subscribe(key, told::tell);
        return told;
    }

    @Test
    void valuesAreKeptBelowTheNamespace() {
        HostRegistry registry = started();
        refused(() -> registry.get("/a/b"), "cannot get /a/b", "NO_ENTRY");
        assertFalse(registry.exists("/a/b"));
        registry.put("/a/b", "één", false);
        registry.put("/a/b", "zwei", false);
        assertEquals("zwei", registry.get("/a/b"));
        assertEquals("", registry.get("/a"));
        assertEquals("zwei", registry.client().registry().get(namespace + "/a/b").text());
        registry.put("/a/c", "", true);
        assertEquals(List.of("b", "c"), registry.children("/a"));
        assertEquals(List.of("a"), registry.children("/"));
        refused(() -> registry.children("/nowhere"), "cannot list the children of /nowhere");
        registry.delete("/a");
        assertFalse(registry.exists("/a/b"));
        registry.delete("/a");
    }

    /** A host may be configured in any of these ways for the same keys. */
    @Test
    void aNamespaceMayBeginWithASlash() {
        started().put("/a", "value", false);
        EmbeddedRegistryProperties properties = properties(SERVER.getServer().getNativeAddress());
        properties.setNamespace(namespace.substring(1) + "/");
        HostRegistry same = registry(properties);
        same.start();
        assertEquals("value", same.get("/a"));
    }

    @Test
    void ephemeralEntriesAreTakenOverAndEndWithTheirLastOwner() {
        HostRegistry before = started();
        HostRegistry after = started();
        before.put("/nodes/master/a:1", "before", true);
        after.put("/nodes/master/a:1", "after", true);
        before.close();
        assertEquals("after", after.get("/nodes/master/a:1"), "it does not end with the run before");
        HostRegistry witness = started();
        after.close();
        assertFalse(witness.exists("/nodes/master/a:1"));
        assertTrue(witness.exists("/nodes/master"));
    }

    /** As with the hosts' ZooKeeper plugins: an entry that is there gets the value and keeps its lifetime. */
    @Test
    void whatIsThereKeepsItsLifetime() {
        HostRegistry registry = started();
        HostRegistry witness = started();
        registry.put("/kept", "1", false);
        registry.put("/kept", "2", true);
        registry.put("/gone", "1", true);
        registry.put("/gone", "2", false);
        assertEquals("2", witness.get("/gone"));
        registry.close();
        assertEquals("2", witness.get("/kept"));
        assertFalse(witness.exists("/gone"));
    }

    @Test
    void subscribersAreToldOfWhatIsThereAndOfEachChangeWithItsValue() {
        HostRegistry registry = started();
        HostRegistry other = started();
        other.put("/nodes/master/a", "1", true);
        other.put("/nodes/master2/b", "not mine", true);
        Recorder<Change> told = follow(registry, "/nodes/master");
        told.awaitExactly("ADD /nodes/master=", "ADD /nodes/master/a=1");
        other.put("/nodes/master/a", "2", true);
        other.put("/nodes/master/b", "3", true);
        other.delete("/nodes/master/b");
        other.close();
        told.awaitExactly("ADD /nodes/master=", "ADD /nodes/master/a=1", "UPDATE /nodes/master/a=2", "ADD /nodes/master/b=3",
            "REMOVE /nodes/master/b=3", "REMOVE /nodes/master/a=2");
    }

    @Test
    void aKeyThatIsNotThereYetMayBeSubscribedTo() {
        HostRegistry registry = started();
        Recorder<Change> told = follow(registry, "/sub");
        Recorder<Change> ended = follow(registry, "/other");
        registry.put("/sub", "1", false);
        registry.put("/sub", "2", false);
        registry.delete("/sub");
        told.awaitExactly("ADD /sub=1", "UPDATE /sub=2", "REMOVE /sub=2");
        registry.unsubscribe("/other");
        registry.put("/other", "1", false);
        registry.put("/sub", "3", false);
        told.await("ADD /sub=3");
        assertEquals(List.of(), ended.all());
    }

    /** One listener's fault is nobody else's, and not the end of it. */
    @Test
    void aListenerThatThrowsGoesOnBeingTold() {
        HostRegistry registry = started();
        Recorder<Change> told = new Recorder<>(Change::path);
        registry.subscribe("/a", change -> {
            told.tell(change);
            throw new IllegalStateException("a fault of the host");
        });
        registry.put("/a", "1", false);
        registry.put("/a/b", "2", false);
        told.awaitExactly("/a", "/a/b");
    }

    @Test
    void aLockIsHeldByOneThreadOfOneHost() {
        HostRegistry one = started();
        HostRegistry other = started();
        assertTrue(one.acquireLock("/lock/a"));
        assertTrue(one.acquireLock("/lock/a"), "again, without counting");
        assertFalse(new Background<>(() -> one.acquireLock("/lock/a", 50)).get(), "not by another thread");
        assertFalse(other.acquireLock("/lock/a", 0), "not by another host");
        Background<Boolean> waiting = new Background<>(() -> other.acquireLock("/lock/a"));
        assertTrue(new Background<>(() -> one.releaseLock("/lock/a")).get(), "a thread that holds none is told that all is well");
        waiting.awaitBlocked();
        long token = one.fence("/lock/a").token();
        assertTrue(one.releaseLock("/lock/a"));
        assertTrue(waiting.get());
        refused(() -> one.fence("/lock/a"), "does not hold");
        assertFalse(one.acquireLock("/lock/a", 50));
        assertTrue(one.acquireLock("/lock/b", 50));
        assertFalse(one.releaseLock("/lock/a"), "who holds another lock is told that it does not hold this one");
        other.close();
        assertTrue(one.acquireLock("/lock/a"), "what a host held ends with it");
        assertTrue(one.fence("/lock/a").token() > token);
    }

    @Test
    void aFencedWriteDoesNotOutliveItsLock() {
        HostRegistry one = started();
        HostRegistry other = started();
        one.acquireLock("/lock/master");
        io.vivarium.client.VivariumClient fenced = one.client().fenced(one.fence("/lock/master"));
        fenced.registry().put(one.path("/ledger"), "one");
        one.releaseLock("/lock/master");
        assertTrue(other.acquireLock("/lock/master"));
        VivariumException stale = assertThrows(VivariumException.class, () -> fenced.registry().put(one.path("/ledger"), "late"));
        assertEquals(Reason.STALE_FENCING_TOKEN, stale.reason());
        assertEquals("one", one.get("/ledger"));
    }

    @Test
    void whoeverWaitsForALockMayBeInterruptedAndIsNotLeftBehindAtClose() {
        HostRegistry one = started();
        HostRegistry other = started();
        one.acquireLock("/lock/a");
        Background<Boolean> interrupted = new Background<>(() -> {
            refused(() -> other.acquireLock("/lock/a"), "cannot lock /lock/a", "interrupted");
            return Thread.currentThread().isInterrupted();
        });
        interrupted.awaitBlocked();
        interrupted.interrupt();
        assertTrue(interrupted.get());
        Background<Boolean> closed = new Background<>(() -> other.acquireLock("/lock/a"));
        closed.awaitBlocked();
        other.close();
        assertThrows(HostException.class, closed::get);
        one.releaseLock("/lock/a");
        assertTrue(started().acquireLock("/lock/a", 10_000), "nobody stands in line any more");
    }

    /** A listener that was there before the start, and one that came after it. */
    @Test
    void hostsAreToldHowTheirConnectionStands() {
        try (EmbeddedRegistryServer server = EmbeddedRegistryServer.builder().setting("timing.tick_ms", "100").start()) {
            HostRegistry registry = registry(properties(server.getNativeAddress()));
            Recorder<State> early = new Recorder<>(State::name);
            registry.addConnectionStateListener(early::tell);
            assertFalse(registry.isConnected());
            registry.start();
            registry.start();
            early.await("CONNECTED");
            Recorder<State> late = new Recorder<>(State::name);
            registry.addConnectionStateListener(late::tell);
            late.await("CONNECTED");
            assertTrue(registry.isConnected());
            registry.connectUntilTimeout(Duration.ofSeconds(3));

            registry.put("/nodes/a", "1", true);
            Recorder<Change> told = follow(registry, "/nodes");
            told.awaitExactly("ADD /nodes=", "ADD /nodes/a=1");
            server.stop();
            early.await("SUSPENDED");
            assertFalse(registry.isConnected());
            refused(() -> registry.connectUntilTimeout(Duration.ofMillis(50)), "Cannot connect to registry");
            server.start();
            early.await("RECONNECTED");
            late.await("RECONNECTED");
            registry.connectUntilTimeout(Duration.ZERO);
            registry.put("/nodes/a", "2", true);
            told.awaitExactly("ADD /nodes=", "ADD /nodes/a=1", "UPDATE /nodes/a=2");
            registry.close();
        }
    }

    @Test
    void withoutARegistryTheStartFailsInTime() throws IOException {
        int port;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            port = free.getLocalPort();
        }
        EmbeddedRegistryProperties properties = properties("127.0.0.1:" + port);
        properties.setBlockUntilConnected(Duration.ofMillis(300));
        HostRegistry registry = registry(properties);
        refused(registry::start, "cannot connect to the registry", "127.0.0.1:" + port);
        refused(() -> registry.get("/a"), "not started");
        registry.close();
    }

    /** Something listens there and says nothing. */
    @Test
    void aSilentEndpointIsGivenUp() throws IOException {
        try (ServerSocket silent = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            EmbeddedRegistryProperties properties = properties("127.0.0.1:" + silent.getLocalPort());
            properties.setBlockUntilConnected(Duration.ofMillis(300));
            refused(registry(properties)::start, "cannot connect to the registry");
        }
    }

    @Test
    void aWrongTokenIsRefusedAtTheStart() {
        EmbeddedRegistryProperties properties = properties(SERVER.getServer().getNativeAddress());
        properties.setToken("not-a-token-of-anybody");
        refused(registry(properties)::start, "cannot connect to the registry", "BAD_CREDENTIALS");
    }

    @Test
    void tlsWhereNoneIsSpokenIsSaid() {
        EmbeddedRegistryProperties properties = properties(SERVER.getServer().getNativeAddress());
        properties.setBlockUntilConnected(Duration.ofMillis(500));
        properties.getTls().setEnabled(true);
        refused(registry(properties)::start, "cannot connect to the registry");
        properties.getTls().setTrustCertificates("/nowhere/authority.pem");
        refused(registry(properties)::start, "cannot connect to the registry", "/nowhere/authority.pem");
        properties.getTls().setPrivateKey("/nowhere/key.pem");
        refused(registry(properties)::start, "/nowhere");
    }

    /** The members have theirs from an authority that this host does not trust; then the host has. */
    @Test
    void aCertificateOfAnotherAuthorityIsRefusedAtTheStart(@TempDir Path directory) {
        Certificates certificates = new Certificates(directory);
        certificates.issue("server", "ip:127.0.0.1");
        certificates.issue("host", "dns:host.example");
        certificates.issue("stranger", "dns:stranger.example");
        certificates.trust("trust.p12", "host");
        try (EmbeddedRegistryServer server = EmbeddedRegistryServer.builder()
            .setting("doors.grpc.tls", "only")
            .setting("tls.key_store", certificates.file("server.p12").toString())
            .setting("tls.key_store_password_file", certificates.file("password").toString())
            .setting("tls.trust_store", certificates.file("trust.p12").toString())
            .setting("tls.trust_store_password_file", certificates.file("password").toString())
            .start()) {
            EmbeddedRegistryProperties properties = properties(server.getNativeAddress());
            properties.setBlockUntilConnected(Duration.ofSeconds(1));
            properties.getTls().setEnabled(true);
            properties.getTls().setKeyStore(certificates.file("host.p12").toString());
            properties.getTls().setKeyStorePassword(Certificates.PASSWORD);
            refused(registry(properties)::start, "cannot connect to the registry", server.getNativeAddress(), "PKIX");
            properties.getTls().setTrustCertificates(certificates.file("server.pem").toString());
            properties.getTls().setKeyStore(certificates.file("stranger.p12").toString());
            refused(registry(properties)::start, "cannot connect to the registry", server.getNativeAddress());
            properties.getTls().setKeyStore(certificates.file("host.p12").toString());
            properties.setBlockUntilConnected(Duration.ofSeconds(10));
            HostRegistry right = registry(properties);
            right.start();
            right.put("/a", "1", false);
            right.close();
        }
    }

    /** What it does not know is said at once, and what it knows beyond this plugin harms nobody. */
    @Test
    void aMemberOfAnotherReleaseIsSaid() throws IOException {
        try (OtherRelease member = new OtherRelease()) {
            HostRegistry registry = registry(properties(member.address()));
            registry.start();
            assertTrue(registry.isConnected());
            String older = "upgrade the servers first";
            refused(() -> registry.put("/a", "1", true), "cannot put /a", member.address(), "RegistryService/Register", older);
            refused(() -> registry.get("/a"), older);
            refused(() -> registry.children("/a"), older);
            refused(() -> registry.acquireLock("/a"), "cannot lock /a", older);
            refused(() -> registry.acquireLock("/a", 50), "cannot lock /a", older);
            refused(() -> registry.subscribe("/a", change -> { }), "cannot subscribe to /a", older);
            registry.close();
        }
    }

    /** It is there with another lifetime when it is made, and gone when it is set, again and again. */
    @Test
    void anEntryThatComesAndGoesIsNotTriedForEver() throws IOException {
        try (OtherRelease member = new OtherRelease()) {
            String register = "vivarium.v1.RegistryService/Register";
            String update = "vivarium.v1.RegistryService/Update";
            member.refused.put(register, "KIND_MISMATCH");
            member.refused.put(update, "NO_ENTRY");
            HostRegistry registry = registry(properties(member.address()));
            registry.start();
            refused(() -> registry.put("/a", "1", true), "cannot put /a", "NO_ENTRY");
            assertEquals(2 * HostRegistry.PUT_TRIES_MAX, member.asked.size());
            assertEquals(HostRegistry.PUT_TRIES_MAX, Collections.frequency(member.asked, register));
            registry.close();
        }
    }

    /** Before the start, and after it. */
    @Test
    void moreConnectionListenersThanThereMayBeAreRefused() {
        HostRegistry registry = registry(properties(SERVER.getServer().getNativeAddress()));
        Recorder<State> told = new Recorder<>(State::name);
        for (int each = 1; each < HostRegistry.LISTENERS_MAX; each++) {
            registry.addConnectionStateListener(state -> { });
        }
        registry.addConnectionStateListener(told::tell);
        refused(() -> registry.addConnectionStateListener(state -> { }), "1023 connection listeners at most");
        registry.start();
        told.await("CONNECTED");
        refused(() -> registry.addConnectionStateListener(state -> { }), "1023 connection listeners at most");
        registry.put("/a", "1", false);
    }

    /** Also where the server's ticks are shorter than usual. */
    @Test
    void anEmbeddedServerGrantsTheSessionTimeoutThatIsAskedFor(@TempDir Path directory) {
        EmbeddedRegistryProperties properties = properties();
        properties.getServer().setDataDirectory(directory.toString());
        properties.getServer().getSettings().put("timing.tick_ms", "200");
        properties.setSessionTimeout(Duration.ofSeconds(15));
        HostRegistry registry = registry(properties);
        registry.start();
        assertEquals(Duration.ofSeconds(15), registry.client().sessionTimeout());
    }

    /** A host outlives its server: that is started again where it was, before the session has ended. */
    @Test
    void anEmbeddedServerThatDiesIsStartedAgainAndTheHostLosesNothing(@TempDir Path directory) {
        EmbeddedRegistryProperties properties = properties();
        properties.getServer().setDataDirectory(directory.toString());
        properties.setSessionTimeout(Duration.ofSeconds(30));
        properties.setConnectionTimeout(Duration.ofSeconds(30));
        HostRegistry registry = registry(properties);
        Recorder<State> states = new Recorder<>(State::name);
        registry.addConnectionStateListener(states::tell);
        List<ProcessHandle> others = ProcessHandle.current().children().toList();
        registry.start();
        registry.put("/nodes/a", "1", true);
        assertTrue(registry.acquireLock("/lock/a"));
        Recorder<Change> told = follow(registry, "/nodes");
        told.awaitExactly("ADD /nodes=", "ADD /nodes/a=1");
        ProcessHandle.current().children().filter(process -> !others.contains(process)).forEach(ProcessHandle::destroyForcibly);
        states.await("SUSPENDED");
        assertTrue(registry.acquireLock("/lock/a"), "it is held still, as soon as that is known");
        registry.put("/nodes/b", "2", true);
        states.awaitExactly("CONNECTED", "SUSPENDED", "RECONNECTED");
        assertEquals("1", registry.get("/nodes/a"));
        told.awaitExactly("ADD /nodes=", "ADD /nodes/a=1", "ADD /nodes/b=2");
    }

    /** Nobody can tell whether the lock is held still; whoever asks is not kept for longer than for any call. */
    @Test
    void aLockIsNotAskedForTwiceWhileTheConnectionIsSuspended() {
        EmbeddedRegistryServer server = EmbeddedRegistryServer.builder().setting("timing.tick_ms", "100").start();
        try {
            EmbeddedRegistryProperties properties = properties(server.getNativeAddress());
            properties.setSessionTimeout(Duration.ofSeconds(20));
            properties.setConnectionTimeout(Duration.ofMillis(500));
            HostRegistry registry = registry(properties);
            registry.start();
            registry.acquireLock("/lock/a");
            server.stop();
            Waiting.until("it is suspended", () -> !registry.isConnected());
            refused(() -> registry.acquireLock("/lock/a"), "cannot lock", "suspended");
            refused(() -> registry.acquireLock("/lock/a", 10), "cannot lock", "suspended");
            refused(() -> registry.acquireLock("/lock/b", 10), "cannot lock /lock/b", "no answer");
            registry.close();
        } finally {
            server.close();
        }
    }

    @Test
    void noThreadAndNoDirectMemoryIsLeftOfARegistryThatIsClosed(@TempDir Path directory) {
        long before = DirectMemory.used();
        List<Thread> others = Threads.ours();
        EmbeddedRegistryProperties properties = properties();
        properties.getServer().setDataDirectory(directory.toString());
        HostRegistry registry = registry(properties);
        registry.start();
        follow(registry, "/nodes");
        registry.put("/nodes/a", "x".repeat(64 * 1024), true);
        registry.acquireLock("/lock/a");
        List<Thread> own = Threads.ours();
        own.removeAll(others);
        assertTrue(own.size() > 3, own::toString);
        registry.close();
        registry.close();
        Waiting.until("its threads are gone", Threads::ours, () -> own.stream().noneMatch(Thread::isAlive));
        Waiting.until("no direct memory is left", DirectMemory::used, () -> DirectMemory.used() <= before);
    }

    @Test
    void settingsThatCannotBeAreNamed() {
        EmbeddedRegistryProperties properties = properties("127.0.0.1:1");
        properties.setHeartbeatRefreshInterval(Duration.ofSeconds(1));
        refused(registry(properties)::start, "registry.embedded.session-timeout", "3 times registry.embedded.heartbeat-refresh-interval");
        properties.setHeartbeatRefreshInterval(Duration.ZERO);
        refused(registry(properties)::start, "registry.embedded.heartbeat-refresh-interval must be more than nothing");
        EmbeddedRegistryProperties half = properties("127.0.0.1:1");
        half.setUsername("bob");
        refused(registry(half)::start, "registry.embedded.password");
        EmbeddedRegistryProperties plain = properties("127.0.0.1:1");
        plain.getTls().setTrustStore("trust.p12");
        refused(registry(plain)::start, "registry.embedded.tls.enabled");
        EmbeddedRegistryProperties odd = properties("127.0.0.1");
        refused(registry(odd)::start, "HOST:PORT");
    }

    @Test
    void badKeysAndValuesAreRefused() {
        HostRegistry registry = started();
        refused(() -> registry.get("relative"), "begins with \"/\"");
        refused(() -> registry.get(null), "begins with \"/\"");
        refused(() -> registry.put("/a//b", "x", false), "INVALID_PATH");
        refused(() -> registry.put("/a", null, false), "no value");
        refused(() -> registry.put("/a", "x".repeat(1_050_000), false), "VALUE_TOO_LARGE");
        refused(() -> registry.put("/a", "x".repeat(2_000_000), false), "LIMIT_REACHED");
        refused(() -> registry.put("/" + "k".repeat(10_000), "x", false), "kkk…: bytes of a path", "LIMIT_REACHED");
        refused(() -> registry.acquireLock("//"), "INVALID_PATH");
        registry.put("/long/" + "k".repeat(256), "x".repeat(64 * 1024), true);
        assertTrue(registry.isConnected());
    }

    @Test
    void nothingIsDoneBeforeTheStartNorAfterTheEnd() {
        HostRegistry registry = registry(properties(SERVER.getServer().getNativeAddress()));
        refused(() -> registry.get("/a"), "was not started");
        refused(() -> registry.subscribe("/a", change -> { }), "was not started");
        registry.start();
        registry.close();
        registry.close();
        refused(() -> registry.get("/a"), "is closed");
        refused(registry::start, "is closed");
        refused(() -> registry.acquireLock("/a"), "is closed");
        refused(() -> registry.subscribe("/a", change -> { }), "is closed");
        refused(() -> registry.connectUntilTimeout(Duration.ofSeconds(1)), "is closed");
        assertFalse(registry.isConnected());
        registry(properties("127.0.0.1:1")).close();
    }

    @Test
    void threadsOfAPluginAreNamedDaemons() {
        HostRegistry registry = started();
        follow(registry, "/a");
        List<Thread> others = new ArrayList<>(Thread.getAllStackTraces().keySet());
        others.removeIf(thread -> thread.getName().startsWith("vivarium") || thread.getThreadGroup() == null);
        assertTrue(Threads.ours().size() > 1);
        assertTrue(Threads.ours().stream().allMatch(Thread::isDaemon), () -> Threads.ours().toString());
        List<String> unnamed = new ArrayList<>();
        others.forEach(thread -> {
            if (thread.getName().toLowerCase().contains("grpc") || thread.getName().startsWith("OkHttp")) {
                unnamed.add(thread.getName());
            }
        });
        assertEquals(Collections.emptyList(), unnamed);
    }

    @Test
    void withoutEndpointsAServerIsStartedAndStoppedWithTheHost(@TempDir Path directory) {
        EmbeddedRegistryProperties properties = properties();
        properties.getServer().setDataDirectory(directory.toString());
        properties.setSessionTimeout(Duration.ofSeconds(60));
        HostRegistry registry = registry(properties);
        registry.start();
        registry.put("/a", "kept", false);
        assertEquals(Duration.ofSeconds(60), registry.client().sessionTimeout());
        EmbeddedRegistryServer server = registry.server().get();
        assertTrue(server.isRunning());

        // Another host on the same machine uses it by its address, and not by its directory.
        HostRegistry second = registry(properties(server.getNativeAddress()));
        second.start();
        assertEquals("kept", second.get("/a"));
        EmbeddedRegistryProperties greedy = properties();
        greedy.getServer().setDataDirectory(directory.toString());
        HostRegistry third = registry(greedy);
        String message = refused(third::start, "the embedded registry cannot be started", "another process uses this directory");
        assertTrue(message.contains(directory.toString()), message);

        second.close();
        registry.close();
        assertFalse(server.isRunning());
        HostRegistry again = registry(properties);
        again.start();
        assertEquals("kept", again.get("/a"));
    }

    @Test
    void anEmbeddedServerThatCannotBeStartedLeavesNothing(@TempDir Path directory) {
        EmbeddedRegistryProperties properties = properties();
        properties.getServer().setDataDirectory(directory.toString());
        properties.getServer().setBinary("/nowhere/vivarium");
        HostException refused = assertThrows(HostException.class, registry(properties)::start);
        assertEquals(EmbeddedRegistryException.Reason.NO_BINARY, ((EmbeddedRegistryException) refused.getCause()).reason());
        // The server starts, and the host cannot connect: the server is stopped again.
        EmbeddedRegistryProperties wrong = properties();
        wrong.getServer().setDataDirectory(directory.toString());
        wrong.setToken("nobody's");
        refused(registry(wrong)::start, "BAD_CREDENTIALS");
        EmbeddedRegistryProperties right = properties();
        right.getServer().setDataDirectory(directory.toString());
        registry(right).start();
    }
}
