"""The one table of job structures: what each is called in a job file and in the API.

A line without indent begins a structure; the lines under it are its fields, in the API's order:

    API name, role, name in a job file, type

Roles: `attr` and `required` are arguments, `block` is a block, `label` is the block's label, and
`-` is a field that job files cannot set. Types: scalars end in `?` where the API has null for
absent; `duration` is nanoseconds; `one X` is a structure or null; `list X` and `map X` of
structures come from repeated blocks, `map X` keyed by label; `map string`, `map strings` and
`map any` are blocks of free keys. An API name that begins with a dot is a shorthand of job files,
which `hanse.jobspec.shorthand` turns into what the API has. A field marked `omitempty` is left
out of the JSON when absent.

To add a field, add its line; the decoder, the JSON form and their tests follow from it.
"""

TABLE = """
Action
  Name                       label    -                          string
  Command                    required command                    string
  Args                       attr     args                       list string
Affinity
  LTarget                    attr     attribute                  string
  RTarget                    attr     value                      string
  Operand                    attr     operator                   string
  Weight                     attr     weight                     int8?
  .Version                   attr     version                    string?
  .Semver                    attr     semver                     string?
  .Regexp                    attr     regexp                     string?
  .SetContains               attr     set_contains               string?
  .SetContainsAny            attr     set_contains_any           string?
  .SetContainsAll            attr     set_contains_all           string?
CNIConfig
  Args                       attr     args                       map string
CSIMountOptions
  FSType                     attr     fs_type                    string
  MountFlags                 attr     mount_flags                list string
ChangeScript
  Command                    attr     command                    string?
  Args                       attr     args                       list string
  Timeout                    attr     timeout                    duration?
  FailOnError                attr     fail_on_error              bool?
  RunOnFirstRender           attr     run_on_first_render        bool?
CheckRestart
  Limit                      attr     limit                      int
  Grace                      attr     grace                      duration?
  IgnoreWarnings             attr     ignore_warnings            bool
Constraint
  LTarget                    attr     attribute                  string
  RTarget                    attr     value                      string
  Operand                    attr     operator                   string
  .Version                   attr     version                    string?
  .Semver                    attr     semver                     string?
  .Regexp                    attr     regexp                     string?
  .SetContains               attr     set_contains               string?
  .DistinctHosts             attr     distinct_hosts             bool?
  .DistinctProperty          attr     distinct_property          string?
  .Ignored                   attr     set_contains_any           anything?
  .Ignored                   attr     set_contains_all           anything?
  .Ignored                   attr     is_set                     anything?
  .Ignored                   attr     is_not_set                 anything?
Consul
  Namespace                  attr     namespace                  string
  Cluster                    attr     cluster                    string
  Partition                  attr     partition                  string
ConsulConnect
  Native                     attr     native                     bool
  Gateway                    block    gateway                    one ConsulGateway
  SidecarService             block    sidecar_service            one ConsulSidecarService
  SidecarTask                block    sidecar_task               one SidecarTask
ConsulExposeConfig
  Paths                      block    path                       list ConsulExposePath
  Path                       -        -                          list ConsulExposePath
ConsulExposePath
  Path                       attr     path                       string
  Protocol                   attr     protocol                   string
  LocalPathPort              attr     local_path_port            int
  ListenerPort               attr     listener_port              string
ConsulGateway
  Proxy                      block    proxy                      one ConsulGatewayProxy
  Ingress                    block    ingress                    one ConsulIngressConfigEntry
  Terminating                block    terminating                one ConsulTerminatingConfigEntry
  Mesh                       block    mesh                       one ConsulMeshConfigEntry
ConsulGatewayBindAddress
  Name                       label    -                          string
  Address                    attr     address                    string
  Port                       attr     port                       int
ConsulGatewayProxy
  ConnectTimeout             attr     connect_timeout            duration?
  EnvoyGatewayBindTaggedAddresses attr     envoy_gateway_bind_tagged_addresses bool
  EnvoyGatewayBindAddresses  block    envoy_gateway_bind_addresses map ConsulGatewayBindAddress
  EnvoyGatewayNoDefaultBind  attr     envoy_gateway_no_default_bind bool
  EnvoyDNSDiscoveryType      attr     envoy_dns_discovery_type   string
  Config                     block    config                     map any
ConsulGatewayTLSConfig
  Enabled                    attr     enabled                    bool
  TLSMinVersion              attr     tls_min_version            string
  TLSMaxVersion              attr     tls_max_version            string
  CipherSuites               attr     cipher_suites              list string
  SDS                        block    sds                        one ConsulGatewayTLSSDSConfig
ConsulGatewayTLSSDSConfig
  ClusterName                attr     cluster_name               string
  CertResource               attr     cert_resource              string
ConsulHTTPHeaderModifiers
  Add                        block    add                        map string
  Set                        block    set                        map string
  Remove                     attr     remove                     list string
ConsulIngressConfigEntry
  TLS                        block    tls                        one ConsulGatewayTLSConfig
  Listeners                  block    listener                   list ConsulIngressListener
ConsulIngressListener
  Port                       attr     port                       int
  Protocol                   attr     protocol                   string
  Services                   block    service                    list ConsulIngressService
ConsulIngressService
  Name                       attr     name                       string
  Hosts                      attr     hosts                      list string
  TLS                        block    tls                        one ConsulGatewayTLSConfig
  RequestHeaders             block    request_headers            one ConsulHTTPHeaderModifiers
  ResponseHeaders            block    response_headers           one ConsulHTTPHeaderModifiers
  MaxConnections             attr     max_connections            uint32?
  MaxPendingRequests         attr     max_pending_requests       uint32?
  MaxConcurrentRequests      attr     max_concurrent_requests    uint32?
ConsulLinkedService
  Name                       attr     name                       string
  CAFile                     attr     ca_file                    string
  CertFile                   attr     cert_file                  string
  KeyFile                    attr     key_file                   string
  SNI                        attr     sni                        string
ConsulMeshConfigEntry
ConsulMeshGateway
  Mode                       attr     mode                       string
ConsulProxy
  LocalServiceAddress        attr     local_service_address      string
  LocalServicePort           attr     local_service_port         int
  Expose                     block    expose                     one ConsulExposeConfig
  ExposeConfig               -        -                          one ConsulExposeConfig
  Upstreams                  block    upstreams                  list ConsulUpstream
  TransparentProxy           block    transparent_proxy          one ConsulTransparentProxy
  Config                     block    config                     map any
ConsulSidecarService
  Tags                       attr     tags                       list string
  Port                       attr     port                       string
  Proxy                      block    proxy                      one ConsulProxy
  DisableDefaultTCPCheck     attr     disable_default_tcp_check  bool
  Meta                       block    meta                       map string
ConsulTerminatingConfigEntry
  Services                   block    service                    list ConsulLinkedService
ConsulTransparentProxy
  UID                        attr     uid                        string
  OutboundPort               attr     outbound_port              uint16
  ExcludeInboundPorts        attr     exclude_inbound_ports      list string
  ExcludeOutboundPorts       attr     exclude_outbound_ports     list uint16
  ExcludeOutboundCIDRs       attr     exclude_outbound_cidrs     list string
  ExcludeUIDs                attr     exclude_uids               list string
  NoDNS                      attr     no_dns                     bool
ConsulUpstream
  DestinationName            attr     destination_name           string
  DestinationNamespace       attr     destination_namespace      string
  DestinationPeer            attr     destination_peer           string
  DestinationPartition       attr     destination_partition      string
  DestinationType            attr     destination_type           string
  LocalBindPort              attr     local_bind_port            int
  Datacenter                 attr     datacenter                 string
  LocalBindAddress           attr     local_bind_address         string
  LocalBindSocketPath        attr     local_bind_socket_path     string
  LocalBindSocketMode        attr     local_bind_socket_mode     string
  MeshGateway                block    mesh_gateway               one ConsulMeshGateway
  Config                     block    config                     map any
DNSConfig
  Servers                    attr     servers                    list string
  Searches                   attr     searches                   list string
  Options                    attr     options                    list string
DisconnectStrategy
  LostAfter                  attr     lost_after                 duration?
  StopOnClientAfter          attr     stop_on_client_after       duration?
  Replace                    attr     replace                    bool?
  Reconcile                  attr     reconcile                  string?
DispatchPayloadConfig
  File                       attr     file                       string
EphemeralDisk
  Sticky                     attr     sticky                     bool?
  Migrate                    attr     migrate                    bool?
  SizeMB                     attr     size                       int?
Job
  Region                     attr     region                     string?
  Namespace                  attr     namespace                  string?
  ID                         attr     id                         string?
  Name                       attr     name                       string?
  Type                       attr     type                       string?
  Priority                   attr     priority                   int?
  AllAtOnce                  attr     all_at_once                bool?
  Datacenters                attr     datacenters                list string
  NodePool                   attr     node_pool                  string?
  Constraints                block    constraint                 list Constraint
  Affinities                 block    affinity                   list Affinity
  TaskGroups                 block    group                      list TaskGroup
  Update                     block    update                     one UpdateStrategy
  Multiregion                block    multiregion                one Multiregion
  Spreads                    block    spread                     list Spread
  Periodic                   block    periodic                   one PeriodicConfig
  ParameterizedJob           block    parameterized              one ParameterizedJobConfig
  Reschedule                 block    reschedule                 one ReschedulePolicy
  Migrate                    block    migrate                    one MigrateStrategy
  Meta                       block    meta                       map string
  UI                         block    ui                         one JobUIConfig
  Stop                       -        -                          bool?
  ParentID                   -        -                          string?
  Dispatched                 -        -                          bool
  DispatchIdempotencyToken   -        -                          string?
  Payload                    -        -                          bytes
  ConsulNamespace            -        -                          string?
  VaultNamespace             -        -                          string?
  NomadTokenID               -        -                          string?
  Status                     -        -                          string?
  StatusDescription          -        -                          string?
  Stable                     -        -                          bool?
  Version                    -        -                          uint64?
  SubmitTime                 -        -                          int64?
  CreateIndex                -        -                          uint64?
  ModifyIndex                -        -                          uint64?
  JobModifyIndex             -        -                          uint64?
  VersionTag                 -        -                          one JobVersionTag
  .Tasks                     block    task                       list Task
  .Vault                     block    vault                      one Vault
  .Secrets                   block    secret                     list Secret
JobUIConfig
  Description                attr     description                string
  Links                      block    link                       list JobUILink
JobUILink
  Label                      attr     label                      string
  URL                        attr     url                        string
JobVersionTag
  Name                       -        -                          string
  Description                -        -                          string
  TaggedTime                 -        -                          int64
LogConfig
  MaxFiles                   attr     max_files                  int?
  MaxFileSizeMB              attr     max_file_size              int?
  Enabled                    attr     enabled                    bool?
  Disabled                   attr     disabled                   bool?
MigrateStrategy
  MaxParallel                attr     max_parallel               int?
  HealthCheck                attr     health_check               string?
  MinHealthyTime             attr     min_healthy_time           duration?
  HealthyDeadline            attr     healthy_deadline           duration?
Multiregion
  Strategy                   block    strategy                   one MultiregionStrategy
  Regions                    block    region                     list MultiregionRegion
MultiregionRegion
  Name                       label    -                          string
  Count                      attr     count                      int?
  Datacenters                attr     datacenters                list string
  NodePool                   attr     node_pool                  string
  Meta                       block    meta                       map string
MultiregionStrategy
  MaxParallel                attr     max_parallel               int?
  OnFailure                  attr     on_failure                 string?
NUMAResource
  Affinity                   attr     affinity                   string
  Devices                    attr     devices                    list string
NetworkResource
  Mode                       attr     mode                       string
  Device                     attr     device                     string
  CIDR                       attr     cidr                       string
  IP                         attr     ip                         string
  DNS                        block    dns                        one DNSConfig
  ReservedPorts              block    reserved_ports             list Port
  DynamicPorts               block    port                       list Port
  Hostname                   attr     hostname                   string
  MBits                      attr     mbits                      int?
  CNI                        block    cni                        one CNIConfig
ParameterizedJobConfig
  Payload                    attr     payload                    string
  MetaRequired               attr     meta_required              list string
  MetaOptional               attr     meta_optional              list string
PeriodicConfig
  Enabled                    attr     enabled                    bool?
  Spec                       attr     cron                       string?
  Specs                      attr     crons                      list string
  SpecType                   -        -                          string?
  ProhibitOverlap            attr     prohibit_overlap           bool?
  TimeZone                   attr     time_zone                  string?
Port
  Label                      label    -                          string
  Value                      attr     static                     int
  To                         attr     to                         int
  HostNetwork                attr     host_network               string
  IgnoreCollision            attr     ignore_collision           bool
RequestedDevice
  Name                       label    -                          string
  Count                      attr     count                      uint64?
  Constraints                block    constraint                 list Constraint
  Affinities                 block    affinity                   list Affinity
ReschedulePolicy
  Attempts                   attr     attempts                   int?
  Interval                   attr     interval                   duration?
  Delay                      attr     delay                      duration?
  DelayFunction              attr     delay_function             string?
  MaxDelay                   attr     max_delay                  duration?
  Unlimited                  attr     unlimited                  bool?
Resources
  CPU                        attr     cpu                        int?
  Cores                      attr     cores                      int?
  MemoryMB                   attr     memory                     int?
  MemoryMaxMB                attr     memory_max                 int?
  DiskMB                     attr     disk                       int?
  Networks                   block    network                    list NetworkResource
  Devices                    block    device                     list RequestedDevice
  NUMA                       block    numa                       one NUMAResource
  SecretsMB                  attr     secrets                    int?
  IOPS                       attr     iops                       int?
RestartPolicy
  Interval                   attr     interval                   duration?
  Attempts                   attr     attempts                   int?
  Delay                      attr     delay                      duration?
  Mode                       attr     mode                       string?
  RenderTemplates            attr     render_templates           bool?
ScalingPolicy
  Min                        attr     min                        int64?
  Max                        attr     max                        int64?
  Policy                     block    policy                     map any
  Enabled                    attr     enabled                    bool?
  Type                       attr     type                       string
  ID                         -        -                          string
  Namespace                  -        -                          string
  Target                     -        -                          map string
  CreateIndex                -        -                          uint64
  ModifyIndex                -        -                          uint64
Secret
  Name                       label    -                          string
  Provider                   attr     provider                   string
  Path                       attr     path                       string
  Config                     block    config                     map any
  Env                        block    env                        map string
Service
  Name                       attr     name                       string
  Tags                       attr     tags                       list string
  CanaryTags                 attr     canary_tags                list string
  EnableTagOverride          attr     enable_tag_override        bool
  PortLabel                  attr     port                       string
  AddressMode                attr     address_mode               string
  Address                    attr     address                    string
  Checks                     block    check                      list ServiceCheck
  CheckRestart               block    check_restart              one CheckRestart
  Connect                    block    connect                    one ConsulConnect
  Meta                       block    meta                       map string
  CanaryMeta                 block    canary_meta                map string
  TaggedAddresses            block    tagged_addresses           map string
  TaskName                   attr     task                       string
  OnUpdate                   attr     on_update                  string
  Identity                   block    identity                   one WorkloadIdentity
  Weights                    block    weights                    one ServiceWeights
  Provider                   attr     provider                   string
  Cluster                    attr     cluster                    string
  Kind                       attr     kind                       string
ServiceCheck
  Name                       attr     name                       string
  Type                       attr     type                       string
  Command                    attr     command                    string
  Args                       attr     args                       list string
  Path                       attr     path                       string
  Protocol                   attr     protocol                   string
  PortLabel                  attr     port                       string
  Expose                     attr     expose                     bool
  AddressMode                attr     address_mode               string
  Advertise                  attr     advertise                  string
  Interval                   attr     interval                   duration
  Timeout                    attr     timeout                    duration
  InitialStatus              attr     initial_status             string
  Notes                      attr     notes                      string
  TLSServerName              attr     tls_server_name            string
  TLSSkipVerify              attr     tls_skip_verify            bool
  Header                     block    header                     map strings
  Method                     attr     method                     string
  CheckRestart               block    check_restart              one CheckRestart
  GRPCService                attr     grpc_service               string
  GRPCUseTLS                 attr     grpc_use_tls               bool
  TaskName                   attr     task                       string
  SuccessBeforePassing       attr     success_before_passing     int
  FailuresBeforeCritical     attr     failures_before_critical   int
  FailuresBeforeWarning      attr     failures_before_warning    int
  Body                       attr     body                       string
  OnUpdate                   attr     on_update                  string
ServiceWeights
  Passing                    attr     passing                    int
  Warning                    attr     warning                    int
SidecarTask
  Name                       attr     name                       string
  Driver                     attr     driver                     string
  User                       attr     user                       string
  Config                     block    config                     map any
  Env                        block    env                        map string
  Resources                  block    resources                  one Resources
  Meta                       block    meta                       map string
  KillTimeout                attr     kill_timeout               duration?
  LogConfig                  block    logs                       one LogConfig
  ShutdownDelay              attr     shutdown_delay             duration?
  KillSignal                 attr     kill_signal                string
  VolumeMounts               block    volume_mount               list VolumeMount
  Identities                 block    identity                   list WorkloadIdentity
Spread
  Attribute                  attr     attribute                  string
  Weight                     attr     weight                     int8?
  SpreadTarget               block    target                     list SpreadTarget
SpreadTarget
  Value                      label    -                          string
  Percent                    attr     percent                    uint8
Task
  Name                       label    -                          string
  Driver                     attr     driver                     string
  User                       attr     user                       string
  Lifecycle                  block    lifecycle                  one TaskLifecycle
  Config                     block    config                     map any
  Constraints                block    constraint                 list Constraint
  Affinities                 block    affinity                   list Affinity
  Env                        block    env                        map string
  Services                   block    service                    list Service
  Resources                  block    resources                  one Resources
  RestartPolicy              block    restart                    one RestartPolicy
  Meta                       block    meta                       map string
  KillTimeout                attr     kill_timeout               duration?
  LogConfig                  block    logs                       one LogConfig
  Artifacts                  block    artifact                   list TaskArtifact
  Vault                      block    vault                      one Vault
  Consul                     block    consul                     one Consul
  Templates                  block    template                   list Template
  DispatchPayload            block    dispatch_payload           one DispatchPayloadConfig
  VolumeMounts               block    volume_mount               list VolumeMount
  CSIPluginConfig            block    csi_plugin                 one TaskCSIPluginConfig omitempty
  Leader                     attr     leader                     bool
  ShutdownDelay              attr     shutdown_delay             duration
  KillSignal                 attr     kill_signal                string
  Kind                       attr     kind                       string
  ScalingPolicies            block    scaling                    list ScalingPolicy
  Secrets                    block    secret                     list Secret
  Identity                   -        -                          one WorkloadIdentity
  Identities                 block    identity                   list WorkloadIdentity
  Actions                    block    action                     list Action
  Schedule                   block    schedule                   one TaskSchedule
TaskArtifact
  GetterSource               attr     source                     string?
  GetterOptions              block    options                    map string
  GetterHeaders              block    headers                    map string
  GetterMode                 attr     mode                       string?
  GetterInsecure             attr     insecure                   bool?
  RelativeDest               attr     destination                string?
  Chown                      attr     chown                      bool
TaskCSIPluginConfig
  ID                         attr     id                         string
  Type                       attr     type                       string
  MountDir                   attr     mount_dir                  string
  StagePublishBaseDir        attr     stage_publish_base_dir     string
  HealthTimeout              attr     health_timeout             duration
TaskGroup
  Name                       label    -                          string?
  Count                      attr     count                      int?
  Constraints                block    constraint                 list Constraint
  Affinities                 block    affinity                   list Affinity
  Tasks                      block    task                       list Task
  Spreads                    block    spread                     list Spread
  Volumes                    block    volume                     map VolumeRequest
  RestartPolicy              block    restart                    one RestartPolicy
  Disconnect                 block    disconnect                 one DisconnectStrategy
  ReschedulePolicy           block    reschedule                 one ReschedulePolicy
  EphemeralDisk              block    ephemeral_disk             one EphemeralDisk
  Update                     block    update                     one UpdateStrategy
  Migrate                    block    migrate                    one MigrateStrategy
  Networks                   block    network                    list NetworkResource
  Meta                       block    meta                       map string
  Services                   block    service                    list Service
  ShutdownDelay              attr     shutdown_delay             duration?
  MaxRunDuration             attr     max_run_duration           duration?
  StopAfterClientDisconnect  attr     stop_after_client_disconnect duration?
  MaxClientDisconnect        attr     max_client_disconnect      duration?
  Scaling                    block    scaling                    one ScalingPolicy
  Consul                     block    consul                     one Consul
  PreventRescheduleOnLost    attr     prevent_reschedule_on_lost bool?
  .Vault                     block    vault                      one Vault
  .Secrets                   block    secret                     list Secret
TaskLifecycle
  Hook                       required hook                       string
  Sidecar                    attr     sidecar                    bool
TaskSchedule
  Cron                       block    cron                       one TaskScheduleCron
TaskScheduleCron
  Start                      attr     start                      string
  End                        attr     end                        string
  Timezone                   attr     timezone                   string
Template
  SourcePath                 attr     source                     string?
  DestPath                   attr     destination                string?
  EmbeddedTmpl               attr     data                       string?
  ChangeMode                 attr     change_mode                string?
  ChangeScript               block    change_script              one ChangeScript
  ChangeSignal               attr     change_signal              string?
  Once                       attr     once                       bool?
  Splay                      attr     splay                      duration?
  Perms                      attr     perms                      string?
  Uid                        attr     uid                        int?
  Gid                        attr     gid                        int?
  LeftDelim                  attr     left_delimiter             string?
  RightDelim                 attr     right_delimiter            string?
  Envvars                    attr     env                        bool?
  VaultGrace                 attr     vault_grace                duration?
  Wait                       block    wait                       one WaitConfig
  ErrMissingKey              attr     error_on_missing_key       bool?
UpdateStrategy
  Stagger                    attr     stagger                    duration?
  MaxParallel                attr     max_parallel               int?
  HealthCheck                attr     health_check               string?
  MinHealthyTime             attr     min_healthy_time           duration?
  HealthyDeadline            attr     healthy_deadline           duration?
  ProgressDeadline           attr     progress_deadline          duration?
  Canary                     attr     canary                     int?
  AutoRevert                 attr     auto_revert                bool?
  AutoPromote                attr     auto_promote               bool?
Vault
  Policies                   attr     policies                   list string
  Role                       attr     role                       string
  Namespace                  attr     namespace                  string?
  Cluster                    attr     cluster                    string
  Env                        attr     env                        bool?
  DisableFile                attr     disable_file               bool?
  ChangeMode                 attr     change_mode                string?
  ChangeSignal               attr     change_signal              string?
  AllowTokenExpiration       attr     allow_token_expiration     bool?
VolumeMount
  Volume                     attr     volume                     string?
  Destination                attr     destination                string?
  ReadOnly                   attr     read_only                  bool?
  PropagationMode            attr     propagation_mode           string?
  SELinuxLabel               attr     selinux_label              string?
VolumeRequest
  Name                       label    -                          string
  Type                       attr     type                       string
  Source                     attr     source                     string
  ReadOnly                   attr     read_only                  bool
  Sticky                     attr     sticky                     bool
  AccessMode                 attr     access_mode                string
  AttachmentMode             attr     attachment_mode            string
  MountOptions               block    mount_options              one CSIMountOptions
  PerAlloc                   attr     per_alloc                  bool
WaitConfig
  Min                        attr     min                        duration?
  Max                        attr     max                        duration?
WorkloadIdentity
  Name                       attr     name                       string
  Audience                   attr     aud                        list string
  ChangeMode                 attr     change_mode                string
  ChangeSignal               attr     change_signal              string
  Env                        attr     env                        bool
  File                       attr     file                       bool
  Filepath                   attr     filepath                   string
  ServiceName                attr     service_name               string
  TTL                        attr     ttl                        duration
  ExtraClaims                attr     extra_claims               list string
"""
