package io.vivarium.dolphinscheduler.v32;

import io.vivarium.plugin.EmbeddedRegistryProperties;
import org.apache.dolphinscheduler.registry.api.Registry;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** Makes the registry of a host whose configuration says {@code registry.type: embedded}, connected already. */
@Configuration(proxyBeanMethods = false)
@ConditionalOnProperty(prefix = "registry", name = "type", havingValue = "embedded")
@EnableConfigurationProperties
public class EmbeddedRegistryAutoConfiguration {
    @Bean
    @ConfigurationProperties("registry.embedded")
    public EmbeddedRegistryProperties embeddedRegistryProperties() {
        return new EmbeddedRegistryProperties();
    }

    /** Closed with the context, and with it the embedded server, if there is one. */
    @Bean(destroyMethod = "close")
    @ConditionalOnMissingBean(Registry.class)
    public EmbeddedRegistry embeddedRegistry(EmbeddedRegistryProperties properties) {
        EmbeddedRegistry registry = new EmbeddedRegistry(properties);
        registry.start();
        return registry;
    }
}
