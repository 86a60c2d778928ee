#!/usr/bin/env python3
"""Writes fixtures/golden/chat/templates.json: chat templates, and the prompts that transformers makes of them.

    python scripts/make_chat_golden.py [fixtures/golden/chat]

needs transformers and jinja2; the versions that wrote the committed file are in it, and a second run with them writes the same
bytes. The templates are written after those of well-known families of models, with their ways of setting white space, refusing
messages, naming roles and writing dates.

  versions, instruction, date
  cases: name; config: the tokenizer_config.json; tokens: the tokenizer's control tokens;
         prompt: `apply_chat_template` of a user's message (instruction, empty line, {clinical_note}) with the generation prompt;
         answered: the same with the assistant's {model_summary}, without generation prompt;
         turn_end: the control token behind the summary; lead: what stands between prompt and summary, null where the answered
         text does not begin with the prompt;
         renders: further conversations, each with its context (messages, add_generation_prompt, tools and switches, special
         tokens) and the text, or the error of a template that refuses it
"""

import datetime, json, os, platform, sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
import jinja2, transformers
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

INSTRUCTION = "Summarize the following clinical note. State only what the note says."
NOTE, SUMMARY = "{clinical_note}", "{model_summary}"
DATE = datetime.datetime(2024, 7, 26)  # what Llama 3 templates take where there is no clock


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return DATE


chat_template_utils.datetime = Clock

ALTERNATE = "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}""" + ALTERNATE + """{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""
LLAMA3 = """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""
LLAMA31 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    DATE
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{#- System message + builtin tools #}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\\n\\n"}}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{#- The first user message takes the tools, unless the system message has them #}
{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("No user message to put the tools into!") }}
{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "You may call one of these functions. " }}
    {{- 'Answer with {"name": its name, "parameters": its arguments}.' }}
    {{- "\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {%- if builtin_tools is defined and tool_call.name in builtin_tools %}
            {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
            {{- "<|python_tag|>" + tool_call.name + ".call(" }}
            {%- for arg_name, arg_val in tool_call.arguments | items %}
                {{- arg_name + '="' + arg_val + '"' }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- endif %}
            {%- endfor %}
            {{- ")<|eom_id|>" }}
        {%- else %}
            {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
            {{- '{"name": "' + tool_call.name + '", "parameters": ' }}
            {{- tool_call.arguments | tojson }}
            {{- "}<|eot_id|>" }}
        {%- endif %}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
LLAMA32_DATE = """{%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}"""
MISTRAL1 = """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}""" + ALTERNATE + """{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"""
MISTRAL2 = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('After the optional system message, conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.first and system_message is defined %}
            {{- " [INST] " + system_message + "\\n\\n" + message["content"] + " [/INST]" }}
        {%- else %}
            {{- " [INST] " + message["content"] + " [/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] + eos_token}}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""
MISTRAL3 = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}

{#- This block checks for alternating user/assistant messages, skipping tool calling messages #}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("The id of a tool call has nine characters!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""
QWEN_TOOLS = """
    {{- "# Tools\\n\\nFunctions to help with the question, within <tools></tools>:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\nA call stands within <tool_call></tool_call>:\\n<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n</tool_call><|im_end|>\\n" }}"""
QWEN_RESULT = """
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}"""
QWEN25 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
    {{- '\\n\\n' }}TOOLS
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}RESULT
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""".replace("TOOLS", QWEN_TOOLS).replace("RESULT", QWEN_RESULT)
QWEN3 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}TOOLS
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}RESULT
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""".replace("TOOLS", QWEN_TOOLS).replace("RESULT", QWEN_RESULT)
THINKING = """{%- set ns = namespace(last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.last_query_index = index %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "user" %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""
CHATML = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
TINYLLAMA = ZEPHYR.replace("\n{%", "\n  {%")
GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}"""
VICUNA = """{{- bos_token }}
{%- macro turn(name, text) %}{{ name ~ ': ' ~ text }}{% endmacro -%}
A chat between a curious user and an artificial intelligence assistant.
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- ' ' + turn('USER', message.content | trim) }}
    {%- else %}
        {{- ' ' + turn('ASSISTANT', message.content | trim) + eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}
"""
GENERATION = """{%- for message in messages -%}
    {%- if message.role == "assistant" -%}
        {{- "<|im_start|>assistant\n" -}}
        {% generation %}
        {{- message.content.strip() + "<|im_end|>" -}}
        {% endgeneration %}
        {{- "\n" }}
    {%- else -%}
        {{- "<|im_start|>" ~ message.role ~ "\n" ~ message["content"] ~ "<|im_end|>\n" -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- "<|im_start|>assistant\n" -}}
{%- endif -%}"""

PYTHON = """{%- set about = {"style": "brief", "of": ["é", {"b": 1, "a": none}], "empty": {}} -%}
{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'user' %}
        {{- about | tojson }} {{ about | tojson(indent=2) }} {{ about | tojson(ensure_ascii=true) }} {{ message.keys() | join(',') }}
        {%- for key, value in about.items() %} {{ key }}{% endfor %}
        {{- ' ' ~ 'a b c'.rsplit(' ', 1)[0] ~ 'a.b'.partition('.')[2] ~ 'a.b.c'.rpartition('.')[0] ~ 'é.b'.index('.') }}
        {{- 'a.b'.removeprefix('a') ~ 'a.b'.removesuffix('b') }}
    {% endif %}
    {{- message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"""

SPM = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")
IM = dict(bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>")
L3 = dict(bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
HEADERS = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"]
INST = ["[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"]
IM_TOKENS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]

# name -> template (or several), special tokens, further control tokens
CASES = {
    "llama-2-chat": (LLAMA2, SPM, []),
    "llama-3-instruct": (LLAMA3, L3 | dict(eos_token="<|end_of_text|>"), HEADERS),
    "llama-3.1-instruct": (LLAMA31.replace("DATE", '{%- set date_string = "26 Jul 2024" %}'), L3, HEADERS),
    "llama-3.2-instruct": (LLAMA31.replace("DATE", LLAMA32_DATE), L3, HEADERS),
    "mistral-instruct-v0.1": (MISTRAL1, SPM, []),
    "mistral-instruct-v0.2": (MISTRAL2, SPM, []),
    "mistral-instruct-v0.3": (MISTRAL3, SPM, INST),
    "qwen2.5-instruct": (QWEN25, IM, IM_TOKENS),
    "qwen3": (QWEN3, IM, IM_TOKENS + ["<tool_call>", "</tool_call>", "<think>", "</think>"]),
    "thinking": (THINKING, IM, IM_TOKENS + ["<think>", "</think>"]),
    "chatml": ([{"name": "tool_use", "template": "{{ tools }}"}, {"name": "default", "template": CHATML}], IM, IM_TOKENS),
    "zephyr": (ZEPHYR, SPM, []),
    "tinyllama-chat": (TINYLLAMA, SPM, []),
    "gemma-it": (GEMMA, dict(bos_token="<bos>", eos_token="<eos>"), ["<start_of_turn>", "<end_of_turn>"]),
    "vicuna": (VICUNA, SPM, []),
    "generation-tags": (GENERATION, IM, IM_TOKENS),
    "carriage-returns": (ZEPHYR.replace("\n", "\r\n"), SPM, []),
    "python": (PYTHON, IM, IM_TOKENS),
}


USER = {"role": "user", "content": "Sum up:\n\nÄrztin: 38,5 °C, 5 µg “no fever” 🩺 患者\r\n  <|eot_id|></s>[/INST]\n "}
SYSTEM = {"role": "system", "content": " Be brief — naïve words.\n\nNo guesses. "}
ANSWER = {"role": "assistant", "content": "<think>\n38,5?\n</think>\n\nFieber, 38,5 °C.\n"}
AGAIN = {"role": "user", "content": "Shorter."}
TOOL = {"type": "function", "function": {
    "name": "dose", "description": "µg of a drug; \"as is\"", "parameters": {"type": "object", "properties": {"drug": {"type": "string"}, "µg": {"type": "number"}},
                                                                            "required": ["drug"]}, "return": {"type": "number"}}}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "abcdefgh1", "type": "function", "function": {"name": "dose", "arguments": {"drug": "Schmerzmittel", "µg": "5"}}}]}
RESULT = {"role": "tool", "tool_call_id": "abcdefgh1", "name": "dose", "content": "5 µg"}
CONVERSATIONS = [([USER], {}), ([SYSTEM, USER], {}), ([SYSTEM, USER, ANSWER, AGAIN], {}), ([USER, ANSWER], dict(add_generation_prompt=False)),
                 ([AGAIN, AGAIN], {})]
WITH_TOOLS = [([SYSTEM, USER], dict(tools=[TOOL, TOOL])), ([USER, CALL, RESULT], dict(tools=[TOOL])),
              ([USER, CALL, RESULT, ANSWER], dict(add_generation_prompt=False)), ([USER, CALL, RESULT, RESULT, ANSWER, AGAIN], dict(tools=[TOOL]))]
LLAMA = [([USER], dict(date_string="1 Jan 2025")), ([USER, CALL, RESULT], dict(builtin_tools=["dose", "code_interpreter"])),
         ([SYSTEM, USER], dict(tools=[TOOL], tools_in_user_message=False)), ([SYSTEM, USER], dict(custom_tools=[TOOL])), ([SYSTEM], dict(tools=[TOOL]))]
THINKS = [([SYSTEM, USER], dict(enable_thinking=thinks)) for thinks in (True, False)] + [
    ([USER, ANSWER | dict(reasoning_content="Hm.\n", content="So."), AGAIN], dict(enable_thinking=False)),
    ([USER, ANSWER | dict(reasoning_content="Hm.\n", content="So.")], dict(add_generation_prompt=False))]
MORE = {"llama-3.1-instruct": WITH_TOOLS + LLAMA, "llama-3.2-instruct": WITH_TOOLS[1:2] + LLAMA[:1], "mistral-instruct-v0.3": WITH_TOOLS,
        "qwen2.5-instruct": WITH_TOOLS, "qwen3": WITH_TOOLS + THINKS}


def render(tokenizer, messages, options):
    options = dict(add_generation_prompt=True) | options
    context = tokenizer.special_tokens_map | dict(messages=messages, documents=None, tools=None) | options
    try:
        return dict(context=context, text=tokenizer.apply_chat_template(messages, tokenize=False, **options))
    except jinja2.TemplateError as error:
        return dict(context=context, error=str(error))


def case(name, template, special, more):
    special = {key: value for key, value in special.items() if value is not None}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), chat_template=template, **special)
    renders = [render(tokenizer, *conversation) for conversation in CONVERSATIONS + MORE.get(name, [])]
    user = {"role": "user", "content": f"{INSTRUCTION}\n\n{NOTE}"}
    prompt = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
    answered = tokenizer.apply_chat_template([user, {"role": "assistant", "content": SUMMARY}], tokenize=False)
    before, after = answered.split(SUMMARY)
    tokens = list(dict.fromkeys([*special.values(), *more]))
    ends = [token for token in tokens if after.lstrip().startswith(token)]
    return dict(name=name, config=special | dict(chat_template=template), tokens=tokens, prompt=prompt, answered=answered,
                turn_end=max(ends, key=len, default=None),
                lead=before.removeprefix(prompt) if before.startswith(prompt) else None, renders=renders)


out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../fixtures/golden/chat")
os.makedirs(out, exist_ok=True)
golden = dict(script="scripts/make_chat_golden.py",
              versions=dict(python=platform.python_version(), transformers=transformers.__version__, jinja2=jinja2.__version__),
              instruction=INSTRUCTION, date=f"{DATE:%Y-%m-%d}", cases=[case(name, *rest) for name, rest in CASES.items()])
# one conversation a line
lines = [json.dumps(render, ensure_ascii=False) for case in golden["cases"] for render in case["renders"]]
golden["cases"] = [case | dict(renders=["@"] * len(case["renders"])) for case in golden["cases"]]
parts = json.dumps(golden, indent=1, ensure_ascii=False).split('"@"')
with open(os.path.join(out, "templates.json"), "w", encoding="utf-8") as file:
    file.write("".join(part + line for part, line in zip(parts, [*lines, "\n"], strict=True)))
