package io.vivarium.plugin;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.springframework.boot.context.properties.source.ConfigurationPropertySources;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.StandardEnvironment;
import org.springframework.core.env.SystemEnvironmentPropertySource;

class ForgottenEndpointsTest {
    private final StandardEnvironment host = new StandardEnvironment();

    private List<String> shown(String key, String value) {
        host.getPropertySources().addFirst(new MapPropertySource("file", Collections.singletonMap(key, value)));
        ConfigurationPropertySources.attach(host);
        return ForgottenEndpoints.shown(host);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "registry.zookeeper.connect-string | zk1:2181,zk2:2181",
        "registry.zookeeper.connect-string | localhost:2181,localhost:2182",
        "registry.zookeeper.connect-string | ${NOBODY_SAYS}",
        "registry.zookeeper.servers        | zk1:2181",
        "registry.servers                  | 10.0.0.1:2181",
        "registry.endpoints                | http://etcd:2379",
        "registry.hikari-config.jdbc-url   | jdbc:mysql://localhost:3306/d",
        "registry.jdbc.url                 | jdbc:postgresql://a/d",
        "registry.mysql.url                | jdbc:mysql://localhost:3306/streampark",
        "high-availability.enable          | true",
        "high-availability.zookeeper.quorum | a:2181"})
    void whatSomebodyHasSetShowsAnotherRegistry(String key, String value) {
        assertEquals(List.of(key), shown(key, value));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "registry.zookeeper.connect-string | localhost:2181",
        "registry.zookeeper.connect-string | 127.0.0.1:2181",
        "registry.zookeeper.connect-string | ''",
        "registry.zookeeper.servers        | localhost:2181",
        "registry.zookeeper.namespace      | dolphinscheduler",
        "registry.mysql.url                | ''",
        "registry.embedded.namespace       | n",
        "high-availability.enable          | false",
        "high-availability.zookeeper.quorum | localhost:2181"})
    void whatReleasesShipShowsNothing(String key, String value) {
        assertEquals(List.of(), shown(key, value));
    }

    @Test
    void otherSpellingsOfAKeyAreTheSameKey() {
        assertEquals(List.of("registry.endpoints"), shown("registry.endpoints[0]", "http://etcd:2379"));
        host.getPropertySources().addLast(new SystemEnvironmentPropertySource(
            StandardEnvironment.SYSTEM_ENVIRONMENT_PROPERTY_SOURCE_NAME,
            Collections.singletonMap("REGISTRY_ZOOKEEPER_CONNECTSTRING", "a:2181")));
        assertEquals(List.of("registry.zookeeper.connect-string"), shown("other", ""));
    }
}
