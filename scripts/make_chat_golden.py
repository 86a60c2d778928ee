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
         text does not begin with the prompt
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

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
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
            {{- "[AVAILABLE_TOOLS] " + (tools | tojson) + "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""
QWEN25 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
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
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
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
    "mistral-instruct-v0.3": (MISTRAL3, SPM, INST),
    "qwen2.5-instruct": (QWEN25, IM, IM_TOKENS),
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


def case(name, template, special, more):
    special = {key: value for key, value in special.items() if value is not None}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), chat_template=template, **special)
    user = {"role": "user", "content": f"{INSTRUCTION}\n\n{NOTE}"}
    prompt = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
    answered = tokenizer.apply_chat_template([user, {"role": "assistant", "content": SUMMARY}], tokenize=False)
    before, after = answered.split(SUMMARY)
    tokens = list(dict.fromkeys([*special.values(), *more]))
    ends = [token for token in tokens if after.lstrip().startswith(token)]
    return dict(name=name, config=special | dict(chat_template=template), tokens=tokens, prompt=prompt, answered=answered,
                turn_end=max(ends, key=len, default=None),
                lead=before.removeprefix(prompt) if before.startswith(prompt) else None)


out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../fixtures/golden/chat")
os.makedirs(out, exist_ok=True)
golden = dict(script="scripts/make_chat_golden.py",
              versions=dict(python=platform.python_version(), transformers=transformers.__version__, jinja2=jinja2.__version__),
              instruction=INSTRUCTION, date=f"{DATE:%Y-%m-%d}", cases=[case(name, *rest) for name, rest in CASES.items()])
with open(os.path.join(out, "templates.json"), "w", encoding="utf-8") as file:
    json.dump(golden, file, indent=1, ensure_ascii=False)
    file.write("\n")
