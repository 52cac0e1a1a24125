{{- define "relay.name" -}}
{{- if contains "relay" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-relay" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "relay.secretName" -}}
{{- .Values.existingSecret | default (include "relay.name" .) }}
{{- end }}

{{- define "relay.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* What selects pods: a list of the root and the part. It never changes in the life of a release. */ -}}
{{- define "relay.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: relay
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "relay.labels" -}}
{{- $root := index . 0 -}}
{{ include "relay.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{- /* How long a pod may take to end: until it is out of the Service, the drain, and those who do not answer then. */ -}}
{{- define "relay.graceSeconds" -}}
{{- add .Values.node.endpointSeconds .Values.node.drainSeconds 25 }}
{{- end }}

{{- /* The settings of every program: a list of the root and the keys of the Secret that it needs. */ -}}
{{- define "relay.environment" -}}
{{- range index . 1 }}
- name: {{ ternary "RELAY_SECRET_FILE" (ternary "RELAY_REDIS_URL_FILE" "RELAY_DATABASE_URL_FILE" (eq . "redis-url")) (eq . "relay-secret") }}
  value: {{ printf "/run/relay/%s" . | quote }}
{{- end }}
{{- with index . 0 }}
- name: RELAY_PUBLIC_URL
  value: {{ required "publicUrl is needed: what people type, such as https://relay.example.com" .Values.publicUrl | quote }}
- name: RELAY_METRICS_PORT
  value: {{ .Values.metrics.port | quote }}
{{- with .Values.trustedProxies }}
- name: RELAY_TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
- name: RELAY_SOCKETS
  value: {{ .Values.node.sockets | quote }}
- name: RELAY_DRAIN_SECONDS
  value: {{ .Values.node.drainSeconds | quote }}
{{- range $name, $value := .Values.settings }}
{{- if has $name (list "RELAY_SECRET" "RELAY_DATABASE_URL" "RELAY_REDIS_URL" "RELAY_PUBLIC_URL" "RELAY_METRICS_PORT" "RELAY_TRUSTED_PROXIES" "RELAY_SOCKETS" "RELAY_DRAIN_SECONDS" "RELAY_HOST" "RELAY_PORT") }}
{{- fail (printf "settings.%s has a value of its own in this chart" $name) }}
{{- end }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What all pods have in common, beside their containers; of the Secret each gets its own keys only. As for settings. */ -}}
{{- define "relay.pod" -}}
{{- $keys := index . 1 -}}
{{- with index . 0 -}}
serviceAccountName: {{ include "relay.name" . }}
automountServiceAccountToken: false
# Kubernetes would set RELAY_PORT and others for a Service of this name.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: secrets
    secret:
      secretName: {{ include "relay.secretName" . }}
      defaultMode: 0440
      items:
        {{- range $keys }}
        - {key: {{ . | quote }}, path: {{ . | quote }}}
        {{- end }}
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- end }}
{{- end }}

{{- /* The same of containers: as for their settings. */ -}}
{{- define "relay.container" -}}
{{- $keys := index . 1 -}}
{{- with index . 0 -}}
image: {{ include "relay.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: secrets, mountPath: /run/relay, readOnly: true}
  - {name: tmp, mountPath: /tmp}
env: {{ include "relay.environment" (list . $keys) | nindent 2 }}
{{- end }}
{{- end }}
