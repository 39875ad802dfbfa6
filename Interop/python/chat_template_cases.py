"""What chat_templates.py renders beside the templates of Tests/Fixtures/chat_templates: expressions and small templates."""

# The variables of EXPRESSIONS.
VARIABLES = {
    "s": "Hello World",
    "u": "éÀß ΑΣ ς İ ǅ 漢字😀",
    "n": 7,
    "neg": -3,
    "f": 2.5,
    "t": True,
    "no": False,
    "nil": None,
    "l": [3, 1, 2],
    "e": [],
    "d": {"b": 1, "a": {"x": [1, 2]}, "items": 5, "C": "c"},
    "ms": [
        {"role": "system", "content": "be"},
        {"role": "user", "content": " hi\nthere "},
        {"role": "assistant", "content": None},
    ],
    "ws": "  a b\tc\n ",
    "q": "it's \"x\" \\ \n\t\x00\x7f\u200b",
    "z": "ZZ",
    "m": "var",
    "x": "",
}

# One a line.
EXPRESSIONS = r'''
s ~ n ~ f ~ t ~ nil ~ l ~ d
undefinedx
undefinedx.foo
undefinedx|default('z')
undefinedx is defined
s.upper() + s.lower()
u.upper()
u.lower()
u|title
u.title()
u|capitalize
u.swapcase()
u|upper|lower
q
[q, u]
{'a': q}
1/2
7//2
-7//2
-7%3
7%-3
-7.5//2
-7.5%2
2**10
2**-1
-2**2
2**3**2
1e16
1e15
123456789.123456789
1e-5
0.0001
1.0
100000000000000000.0
1.5e300*1e10
[1.0, 2.5e-7]
(1,)
()
(1,2)
[1,[2,(3,)],{'a':None}]
1 if true
1 if false
1 if false else 2
1 < 2 < 3
1 < 3 < 2
'a' in s
'W' in s
'W' not in s
3 in l
'a' in d
1 == 1.0
1 == true
'a' == 'a'
[1] == [1.0]
(1,) == [1]
none == nil
not none
not l
l or 1
e or 1
l and 1
0 or ''
l[0]
l[-1]
l[5]
l[1:]
l[::-1]
l[:2]
l[-2:]
l[::2]
s[1:4]
s[::-1]
s[-3:]
s[10:2:-2]
u[2]
d.items()
d['items']
d.b
d.a.x[1]
d['a']['x']
d.get('zz')
d.get('zz', 4)
d.keys()
d.values()
d|items|list
d|dictsort
d|dictsort(by='value')
d|dictsort(true)
d|length
d|list
d|tojson
d|tojson(indent=2)
d|tojson(indent=0)
d|tojson(sort_keys=true)
d|tojson(separators=(',',':'))
u|tojson
u|tojson(ensure_ascii=true)
q|tojson
q|tojson(ensure_ascii=true)
ms|tojson
ms|tojson(indent=4)
[1.0,1e100,none,true]|tojson
{1:2,none:3,true:4,2.5:1}|tojson
e|tojson(indent=2)
{'a':[],'b':{}}|tojson(indent=2)
undefinedx|tojson
s|length
s|count
s|list
s|first
s|last
e|first
l|sort
l|sort(reverse=true)
['b','A','a','B']|sort
['b','A','a','B']|sort(case_sensitive=true)
ms|map(attribute='role')|list
ms|map(attribute='role')|join(', ')
ms|map('length')|list
ms|selectattr('role','equalto','user')|list
ms|selectattr('role','eq','user')|map(attribute='content')|first
ms|rejectattr('role','in',['user','system'])|list
ms|selectattr('content')|list|length
l|select('odd')|list
l|select('>', 1)|list
l|reject('divisibleby', 2)|list
l|sum
l|max
l|min
['a','B']|max
l|join
l|join('-')
l|reverse|list
s|reverse
l|unique|list
['a','A','b']|unique|list
range(5)|list
range(1,10,3)|list
range(5,0,-2)|list
range(3)
range(10)[2:5]
ws|trim
ws.strip()
ws.lstrip()
ws.rstrip()
ws.split()
'a,b,,c'.split(',')
'a,b,,c'.split(',', 1)
'a,b,,c'.rsplit(',', 1)
' a  b '.split(none, 1)
' a  b c '.rsplit(none, 1)
'a\nb\r\nc\n'.splitlines()
'a\nb\r\nc\n'.splitlines(true)
s.replace('l','L')
s.replace('l','L',1)
s|replace('o','0')
s|replace('','-')
'aaa'.replace('aa','b')
s.startswith('He')
s.startswith(('x','He'))
s.endswith('ld')
s.find('o')
s.find('z')
s.rfind('o')
s.index('W')
s.index('z')
s.count('l')
s.count('')
s.partition(' ')
s.rpartition('o')
s.partition('zz')
','.join(['a','b'])
','.join([1])
'a'*3
[1]*2
3*'ab'
-1*'a'
'%s is %d' % ('x', 3)
'%05.2f|%-5s|%5s|%x|%%' % (3.14159,'a','b',255)
'%s' % s
'%s' % [1,2]
'%s %s' % 'a'
'%(a)s' % {'a': 1}
'{} {}'.format(1,'a')
'{1} {0}'.format(1,'a')
'{x}'.format(x=3)
'{:>5}|{:<5}|{:^5}|{:05d}|{:,}'.format('a','b','c',42,1234567)
'{:.2f} {:e} {:g}'.format(3.14159, 1234.5, 0.0001)
'{0[a]} {1.b}'.format({'a':1}, {'b':2})
'{!r}'.format('a')
'{{}}'.format()
'{:x} {:#x} {:b} {:o}'.format(255,255,5,8)
'{:%}'.format(0.25)
'{:+d} {: d}'.format(5,5)
'{:*^9}'.format('hi')
'%s'|format('x')
"%s - %s"|format("a", 1)
42.55|round
42.55|round(1,'floor')
42.5|round
43.5|round
2.675|round(2)
-2.5|round
7|round
7|round(-1)
15|round(-1)
25|round(-1)
1234.5|round(-2)
42.55|round(1,'ceil')
42.1|round(method='ceil')
'42'|int
'42.9'|int
'abc'|int
'abc'|int(5)
'0x1f'|int(0,16)
'1_000'|int
' 12 '|int
3.99|int
none|int
true|int
'1.5'|float
'x'|float
'1e3'|float
'inf'|float
' 1_0.5 '|float
5|float
-5|abs
-5.5|abs
s|string
5|string
s|wordcount
"a b\nc d"|indent
"a b\n\nc d"|indent(2, true)
"a b\n\nc d"|indent(2, blank=true)
"a\nb"|indent('> ')
"foo bar baz"|truncate(5)
"foo bar baz qux"|truncate(9)
"foo bar baz qux"|truncate(9, true)
s|center(21)
'a'.center(4)
'ab'.center(5,'*')
'a'.ljust(4)~'|'
'a'.rjust(4)
'-5'.zfill(5)
[1,2,3,4,5]|batch(2)|list
[1,2,3,4,5]|batch(2,'x')|list
[1,2,3,4,5]|slice(2)|list
[1,2,3,4,5]|slice(3,'x')|list
ms|groupby('role')|list
ms|groupby('role')|map(attribute='grouper')|list
'<a>&"\''|e
'<a>'|safe
('<a>'|safe) + '<b>'
'<b>' + ('<a>'|safe)
('<a>'|safe) ~ '<b>'
['<a>'|safe]
('<%s>'|safe) % '<'
('<a>'|safe).upper()
'<a>'|e|e
d|attr('b')
1 is number
1.0 is number
true is number
1 is integer
true is integer
1.0 is float
true is boolean
s is string
d is mapping
l is sequence
d is sequence
s is sequence
missing is sequence
missing.a is sequence
s is iterable
1 is iterable
none is none
nil is none
3 is odd
4 is even
9 is divisibleby 3
9 is divisibleby(3)
3 is eq 3
3 is ne 3
3 is lt 4
3 is gt 4
3 is ge 3
3 is in [1,2,3]
3 is not in [1,2,3]
'a' is in 'abc'
s is lower
'abc' is lower
'ABC' is upper
true is true
false is false
1 is true
none is sameas none
'upper' is filter
'xyz' is filter
'odd' is test
x is undefined
s is callable
range is callable
s.upper is callable
not s is string
s is not string
s is string and n is number
s is string or foo
dict(a=1,b=2)
dict({'a':1}, b=2)
dict([('a',1)])
namespace(a=1)
namespace(a=1).a
namespace(a=1)['a']
namespace(a=1).b
[namespace(a=1)]
'a' 'b'
"a\"b"
'\x41\u00e9\n\t\\'
'\q'
'\101'
'é'
'\é'
1_000
0x1F
0b101
0o17
1.5e3
1e3
.5
5.
1.e3
00
01
1__0
d['b']
d["zz"]
d[0]
s['upper']()
l['append']
l.append(1)
d.pop('b')
d.update({})
d.__class__
s.__class__
().__class__.__bases__
l.index(2)
l.index(9)
l.count(1)
l.copy()
l + [1]
l + (1,)
(1,) + (2,)
s + 1
1 + s
none + 1
undefinedx + 1
undefinedx == undefinedy
undefinedx == none
undefinedx ~ 'a'
[undefinedx]
undefinedx|length
undefinedx|list
undefinedx|upper
undefinedx|int
undefinedx|join
'a' in undefinedx
undefinedx in [1]
undefinedx < 1
'a' < 'b'
'a' < 1
[1,2] < [1,3]
(1,2) < (1,)
none < 1
1 <= 1.0
true + true
true == 1
-true
+5
--5
- - 5
not not 1
1 if 0 else 2 if 0 else 3
(1 if 0 else 2) if 1 else 3
1 or 2 and 3
1 + 2 ~ 3 * 4
1 ~ 2 + 3
1 - 2 - 3
2 * 3 % 4
10 - 2 * 3
'a' ~ 1 == 'a1'
1 == 1 == 1
1 in [1] == true
not 1 in [2]
-1 | abs
-1|abs + 2
(-1)|abs
5 % 3 | string
s|upper|lower|length
s.split()|map('upper')|join('-')
d.a.x|join
{'a':1}.a
{'a':1}['a']
{1:2}[1]
{'a':1,'a':2}
{(1,2):3}
{[1]:2}
[1,2,]
{'a':1,}
(1,2,)
[,]
s[0]
s[0:1]
s[:]
s.0
l.0
l.0.1
5 // 0
5 / 0
5 % 0
5.0 / 0
1e308*10
s.isdigit()
'123'.isdigit()
'²'.isdigit()
'²'.isdecimal()
'½'.isnumeric()
'abc'.isalpha()
'a1'.isalnum()
' '.isspace()
''.isspace()
'aBc'.islower()
s.encode()
'abc'.removeprefix('ab')
'abc'.removesuffix('bc')
'abc'.removesuffix('')
'a\tb'.expandtabs(4)
'a'.foo
'a'.foo()
loop
caller
range(100001)
range(-1)|list
range(1,2,0)
'a'.join('xyz')
'abc'|map('upper')|list
[[1,2],[3]]|map('first')|list
[[1,2],[3]]|sum(start=[])
ms|sum(attribute='x')
[{'x':1},{'x':2}]|sum(attribute='x')
[{'x':1},{'x':2}]|sum('x')
[{'x':{'y':1}},{'x':{'y':2}}]|map(attribute='x.y')|list
[[1],[2]]|map(attribute=0)|list
[{'x':1},{}]|map(attribute='x', default=9)|list
[{'x':1},{}]|map(attribute='x')|list
ms|selectattr('nope','defined')|list
ms|selectattr('nope','undefined')|list|length
ms|map('upper', 1)|list
ms|map|list
ms|select('nonexistent')|list
ms|first|items|list
ms|last
(ms|last).content is none
ms[-1].role
ms[0]['content'][0]|upper
(1,2)|tojson
(1,2)|list
'abc'|list|tojson
d|string
d.items()|list
d.items()|sort
d.keys()|list
d.keys()|join(',')
d.values()|first
'b' in d.keys()
('b', 1) in d.items()
d|first
d|last
d|reverse|list
s|default('x')
''|default('x')
''|default('x', true)
''|d('x', boolean=true)
none|default('x')
none|default('x', true)
'%.3s|%5.1f|%+d|% d|%o|%X|%e|%g|%c|%c' % ('abcdef', 2.25, 3, 4, 8, 255, 12345.678, 0.00001, 65, 'z')
'%5d|%-5d|%05d' % (42,42,42)
'%d' % 3.7
'%d' % 'a'
'%i%%' % 50
'%r' % 'a'
'%s' % none
'%s %s' % (1,)
'%s' % (1,2)
'%*d' % (5, 42)
'{:d}'.format('a')
'{}'.format()
'{.a}'.format({'a':1})
'{[a]}'.format({'a':1})
'{0.a}'.format({'a':1})
'{} {0}'.format(1)
'{a.b[0]}'.format(a={'b':[7]})
'{:10.3f}|{:<10}|{:>10}'.format(3.14159, 1, 'x')
'{:,.2f}'.format(1234567.891)
'{:_}'.format(1234567)
'{:010,}'.format(1234)
'{:.3}'.format('abcdef')
'{:.3}'.format(3.14159)
'{:5}|{:5}'.format(1,'a')
'{:=+5}'.format(3)
'{:c}'.format(65)
'{:%Y}'.format(1)
'{0:{1}}'.format('a', 5)
'{:s}'.format(1)
'{}'.format(none)
'{:5}'.format(none)
'{:5}'.format(true)
'{}{}'.format(true, 1.0)
s | replace("World", "x") | upper ~ "!"
(s|length) > 3 and (s|length) < 20
l|length - 1
loop.index
ms|length == 3
"\u00e9" == "e\u0301"
"\u00e9"|length
"e\u0301"|length
"\r\n"|length
"a\r\nb"
"👨‍👩‍👧"|length
"👨‍👩‍👧"[0]
{"\u00e9":1,"e\u0301":2}|length
1.0|string
1e22
1e21
123456789012345680.0
0.1+0.2
1/3
2/1
5e-324
1.7976931348623157e308
[0.1,-0.0]
-0.0
0.0 == -0.0
3.0|int
'nan'|float
'nan'|float == 'nan'|float
[1, 2.0, true]|sum
[3, 1.5, true]|sort
[1,'a']|sort
{'b':1,'a':2}|dictsort|map('first')|list
raise_exception('boom')
raise_exception()
"a" "b" ~ "c"
l|map('string')|list
l|map('float')|list
[1,2,3]|map('divisibleby', 2)|list
['1','x']|map('int', 7)|list
['1','x']|map('int', default=7)|list
ms|map(attribute='content')|map('default','',true)|list
ms|selectattr('content','string')|map(attribute='content')|map('trim')|join('|')
ms|selectattr('content','none')|list|count
d|map('upper')|list
"x"|indent(width=2, first=True)
True and None
False == false
None is none
"a" if none
"a" if none is none
[] is defined
{}|length
{} or 'empty'
'x' ~ {} ~ []
s|select('equalto','l')|list|length
[1,[2]]|tojson
l is iterable and l is not string and l is not mapping
"%s" % undefinedx
"%d" % undefinedx
"{}".format(undefinedx)
(undefinedx)
[undefinedx]|join(',')
undefinedx|string
undefinedx|tojson(indent=1)
undefinedx|default(undefinedy)|default('k')
undefinedx.a|default('k')
d.zz|default('k')
d.zz.y|default('k')
d.zz is defined and d.zz.y
d.zz and d.zz.y
l[9]|default('k')
l[9].x|default('k')
s.title() if s is defined else 'k'
'abc'[::-1] ~ 'abc'[-1] ~ 'abc'[-5:2] ~ 'abc'[5:]
'abc'['0']
'abc'[true]
l[1.0]
l['a']
d[none]
range(3).start
range(3).count(1)
range(3) == range(0,3)
range(3)|last
range(3)|length
range(0)|first
(1,2,3)[1:]
(1,2,3).index(2)
none.foo
none.foo.bar
none['a']
true.foo
5 .real
"a"~"b"|upper
("a"~"b")|upper
"a,b"|replace(",", "\n")
"tab\there"
'single \'quoted\''
"line1\nline2"|indent(4)|tojson
n|tojson ~ f|tojson
s is defined is true
s is string is defined
1 is odd is true
s is divisibleby
s is nosuchtest
s|nosuchfilter
s|nosuchfilter if false else 'ok'
(s is nosuchtest) if false else 'ok'
'x'.join(ms|map(attribute='role'))
dict(ms|map(attribute='role')|map('list')|map('batch',2)|list)
dict.fromkeys(['a','b'], 1)
dict.fromkeys('ab')
{**d}
[*l]
dict(**d)
dict(*[{'a':1}])
range(*[1,3])|list
'{a}{b}'.format(**{'a':1,'b':2})
s.upper(1)
s.split(sep=' ')
s.split(maxsplit=1, sep='o')
s.replace(old='l', new='k')
d.get(key='a')
s|replace(old='l', new='k')
s|trim(chars='Hd')
s.strip('Hd')
s.lstrip('eH')
'xxaxx'.strip('x')
1 <2>1
1<=1>=1!=2
'é' < 'z'
'Z' < 'a'
s[1:-1]
s[none:3]
s[:none]
s['a':]
l[::0]
l[0:3:2]
"a" * 100000000000
[0] * 100000000000
9223372036854775807
9223372036854775808
9223372036854775807 + 1
-9223372036854775808
2**63
10**18
10**19
'ß'.upper()
'ŉ'.title()
'ǆ'.capitalize()
'ΑΣ'.lower()
'ΑΣΑ'.lower()
'İ'.lower()
'ﬁ'|title
"they're bill's friends"|title
"they're bill's friends".title()
"hello-world (foo) {bar} <b> [x]"|title
"a_b c.d"|title
'\N{BULLET}'
'\ud83d'
'\x4'
'\u12'
"\a\b\f\v\0"
'a' == "a"
"#}"
"%}"
"}}"
{'a':{'b':{}}}
{{}}
'''.strip("\n").split("\n")

# One a line; neighbouring lines are rendered together as well.
LINES = r'''
a
  {% if true %}x{% endif %}  b
  {% if true %}
  y
  {% endif %}
  z
{%- if true -%}  x  {%- endif -%}  b
{%+ if true +%}
 x {%+ endif +%}
{{- 'a' -}}   b
   {{ 'a' }}   
 {# c #}
 {#- c -#}  d
 {#+ c +#}
 d
{# c +#}
d
{% raw %}{{ x }}{% endraw %}
{% raw %}
 a {% if %} 
{% endraw %}
b
{%- raw -%}  a  {%- endraw -%}  b
   {% raw %} a   {% endraw %} c
{% raw %}a{% raw %}b{% endraw %}
{% for i in [1,2,3] %}{{ i }}{% endfor %}
{% for i in [1,2,3] %}
{{ i }}
{% endfor %}
{% for i in [1,2,3] -%}
 {{ i }}
{%- endfor %}
{% for i in [1,2,3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a','b') }}{{ loop.changed(i>1) }}{{ loop.depth }}{% endfor %}
{% for i in [] %}a{% else %}e{% endfor %}
{% for i in [1] %}{% continue %}{% else %}e{% endfor %}
{% for i in [1,2] %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% else %}e{% endfor %}
{% for i in [1,2] %}{% break %}{% else %}e{% endfor %}
{% for i in range(10) if i is odd %}{{ loop.index }}:{{ i }}{% if not loop.last %},{% endif %}{% endfor %}
{% for i in range(10) if i is odd %}{{ loop.length }}{% endfor %}
{% for k, v in {'a':1,'b':2}.items() %}{{ k }}={{ v }};{% endfor %}
{% for k, v in {'a':1,'b':2}|items %}{{ k }}={{ v }};{{ loop.last }}{% endfor %}
{% for (a, b), c in [((1,2),3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [(1,)] %}{{ a }}{% endfor %}
{% for a, b in ['xy'] %}{{ a }}{{ b }}{% endfor %}
{% for a in 5 %}{% endfor %}
{% for a in undefinedx %}q{% else %}none{% endfor %}
{% for a in none %}q{% endfor %}
{% set x = 1 %}{% for i in [1,2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(x=1) %}{% for i in [1,2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}
{% set d = {} %}{% set d.x = 1 %}{{ d }}
{% set ns = namespace() %}{% set ns._x = 1 %}
{{ namespace(_a=1) }}
{% set ns = namespace(found=false, n=0) %}{{ ns }}{{ ns.found }}{{ ns.zz }}{{ ns['n'] }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = [1] %}
{% set (a, b) = (1, 2) %}{{ a+b }}
{% set a = 1, 2 %}{{ a }}
{% set x %} block {{ 1 }} {% endset %}[{{ x }}]
{% set x | upper | trim %} block {% endset %}[{{ x }}]
{% set ns = namespace() %}{% set ns.x %}abc{% endset %}{{ ns.x }}
{% set ns = namespace() %}{% set ns.a, y = 1, 2 %}{{ ns.a }}{{ y }}
{% if x %}{% set y = 1 %}{% else %}{% set y = 2 %}{% endif %}{{ y }}
{% if false %}{% set y = 1 %}{% endif %}{{ y }}|{{ z }}
{% for i in [1] %}{{ z }}{% endfor %}{% set z = 5 %}{{ z }}
{% set z %}{{ z }}{% endset %}{{ z }}
{% for i in [1,2] %}{% if i == 2 %}{{ z }}{% endif %}{% set z = i %}{% endfor %}
{% for i in [1,2] %}{{ q }}{% set q = i %}{{ q }}{% endfor %}{{ q }}
{% for z in z %}{{ z }}{% endfor %}{{ z }}
{% macro m(a, b=2, *c) %}{% endmacro %}
{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(a=4, b=5) }}{{ m() }}{{ m(b=1, a=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(c=2) }}
{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}
{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(1) }}
{% macro m(a=b, b=1) %}{{ a }}|{{ b }}{% endmacro %}{{ m() }}
{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(3) }}
{% macro m() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{% set x = 2 %}{{ m() }}
{% macro m() %}{{ z }}{% endmacro %}{{ m() }}
{% macro m() %}{{ z }}{% endmacro %}{{ m() }}{% set z = 2 %}
{% macro m() %}{% set x = 1 %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}{{ x }}
{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}body{% endcall %}
{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}
{% macro m() %}{{ caller }}{% endmacro %}{{ m() }}
{% macro m() %}{% if caller %}c{% else %}n{% endif %}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}
{% macro m() %}x{% endmacro %}{% call m() %}{% endcall %}
{% macro m(x) %}{{ loop }}{% endmacro %}{% for i in [1] %}{{ m(i) }}{% endfor %}
{% for i in [1] %}{% macro m(x) %}{{ loop.index }}{{ i }}{% endmacro %}{{ m(i) }}{% endfor %}
{% macro m() %}  a
  {% if true %}
  b
  {% endif %}
{% endmacro %}[{{ m() }}]
{{ m }}{% macro m() %}{% endmacro %}{{ m }}{{ m.name }}{{ m.arguments }}
{% filter upper %}a{{ 'b' }}{% endfilter %}
{% filter replace('a','b')|upper %}abc{% endfilter %}
{% filter indent(2) %}a
b{% endfilter %}
{% with a=1, b=2 %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% set a = 5 %}{% with a=1, b=a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}
{% generation %}abc{% endgeneration %}d
{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}
{%- generation -%}  {{ s }}  {%- endgeneration -%}  e
  {% generation %}
  a
  {% endgeneration %}
  b
{% for i in [1,2] %}{% generation %}{{ i }}{{ loop.index }}{% endgeneration %}{% endfor %}
{% for i in [1,2] %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% break %}
{% for x in [[1,[2]],3] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}
{% for x in [1,2] recursive %}{{ x }}{% else %}e{% endfor %}
{% for i in [1,2] %}{% for j in [3,4] %}{{ i }}{{ j }}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}
{% for i in [1,2,3] %}{% for j in [1] %}{% break %}{% else %}x{% endfor %}{{ i }}{% endfor %}
{% for i in [1,2,3] %}{% for j in [] %}{% else %}{% if i == 2 %}{% break %}{% endif %}{% endfor %}{{ i }}{% endfor %}
{% print 1, 'a' %}
{% if 1, 2 %}t{% endif %}
{% if 0 %}a{% elif 0 %}b{% elif 1 %}c{% else %}d{% endif %}
{% if 0 %}a{% elif 0 %}b{% else %}d{% endif %}
{% if x is defined %}a{% else %}b{% endif %}
{% if true: %}a{% endif %}
{% unknown %}
{% if true %}
{% endfor %}
{% endif %}
{{ 1
{{ 'a }}
{% if %}{% endif %}
{# open
{{ a b }}
{{ (1 }}
{{ 1) }}
{{ [1 }}
{% set %}
{% set 1 = 2 %}
{% set true = 2 %}
{% set loop = 2 %}{{ loop }}
{% for loop in [1] %}{% endfor %}
{% for i in [1] %}{% set loop = 1 %}{% endfor %}
{% for i in [1] %}{% endfor
{% macro m(a, a) %}{% endmacro %}
{% macro m(a=1, b) %}{% endmacro %}
{{ f(a=1, 2) }}
{{ dict(a=1, a=2) }}
{{ 'a' is string is string }}
{{ a.1x }}
{{ a. }}
{{ a| }}
{{ | a }}
{{ !a }}
{{ a ? b }}
{{ a && b }}
{{ {1} }}
{{ {'a' 1} }}
{{ a = 1 }}
{{ x if }}
{{ not }}
{{ -}}x
{{-}}x
{{+1}}
{{-1}}
{{--1}}
x{{ 1 -}}
 y
x{{ 1 }}
 y
{{ 1 }}
{% if true %}

a

{% endif %}

b
a {%- if true %} b {% endif -%} c
 {%- set x = 1 %}
 {%+ set x = 1 %}
	{% set x = 1 %}	x
a
  {%- if true %}
    b
  {%- endif %}
c
{{ "{{" }}{{ "}}" }}{{ "{%" }}
{ { } } {x} {%raw%}{%{%endraw%}
{%if true%}a{%endif%}{{1}}{#x#}
{%-if true-%} a {%-endif-%}
{%if(true)%}a{%endif%}
{% if true%}a{%endif %}
{{{'a':1}}}
{{ {'a':{'b':1}} }}
{{ {'a':{'b':1}}.a.b}}
{{'a'}}{{'b'}}
<|im_start|>{{ 'x' }}<|im_end|>
	a  b {% if true %}  {% endif %}
{% set x = {'a': [1, 2, {'b': none}]} %}{{ x|tojson(indent=2) }}
{% set ns = namespace(l=[]) %}{% for i in range(3) %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l }}
{% set g = [1,2,3]|select('odd') %}{{ g|list }}{{ g|list }}
{% set g = [1,2,3]|map('string') %}{% if g %}y{% endif %}{{ g|first }}{{ g|list }}
{% set ns = namespace(n=0) %}{% for i in range(5) if ns.n < 3 %}{% set ns.n = ns.n + 1 %}{{ i }}{% endfor %}
{% set ns = namespace(n=0) %}{% for i in range(5) if ns.n < 3 %}{% set ns.n = ns.n + 1 %}{{ i }}{{ loop.last }}{% endfor %}
{% for i in 'abc' %}{{ loop.nextitem or 'end' }}{% endfor %}
{% for i in [1,2]|reverse %}{{ i }}{{ loop.length }}{% endfor %}
{{ raise_exception('no ' ~ s) }}
{% if true %}{{ raise_exception('x') }}{% endif %}
{% if false %}{{ raise_exception('x') }}{{ s|nosuch }}{% endif %}ok
{% for i in [] %}{{ s|nosuch }}{% endfor %}
{% if false %}{% for i in [] %}{{ s|nosuch }}{% endfor %}{% endif %}ok
{% include 'a' %}
{% extends 'a' %}
{% import 'a' as b %}
{% do x %}
{% trans %}a{% endtrans %}
{% autoescape true %}{% endautoescape %}
{{ s.__class__ }}{{ s['__class__'] }}
{{ s.__class__.x }}
{% set x = namespace(a=1) %}{% set y = x %}{% set y.a = 2 %}{{ x.a }}
{% macro f(ns) %}{% set ns.a = 9 %}{% endmacro %}{% set x = namespace(a=1) %}{{ f(x) }}{{ x.a }}
{{ namespace(a=1) == namespace(a=1) }}{{ namespace is mapping }}{{ namespace(a=1) is iterable }}
{{ 'a' in namespace(a=1) }}
{{ namespace(a=1)|tojson }}
{{ namespace({'a':1}, b=2).b }}{{ namespace(items=3).items }}
{{ dict(a=1).items()|list }}{{ dict() }}
{% set x = 'a' %}{% set x = x ~ x %}{% set x = x ~ x %}{{ x }}
{{ x.y.z if x is defined else 'none' }}
'''.strip("\n").split("\n")

# Templates of several lines, and what depends on line breaks.
TEMPLATES = [
    "a\n  {% if true %}x{% endif %}  b\n",
    "  {% if true %}\n  y\n  {% endif %}\n  z\n",
    "\n\n{{ 1 }}\n\n",
    "a\r\nb\r{{ 1 }}\r\n",
    "a\n",
    "a\n\n",
    "",
    "\n",
    "{% if true %}\r\nx{% endif %}\r\n",
    "a\n \t{%- if true %}\n\n b{% endif %}",
    "a\u00a0{%- if 1 %}b{% endif %}",
    "a\n\u00a0{% if 1 %}b{% endif %}",
    "a\n\x0b{% if 1 %}b{% endif %}",
    "{{ 'a\nb' }}",
    "{{ 'a\r\nb' }}",
    "{% raw %}\n  a\n  {% endraw %}\nb",
    "a\n  {% raw %}\n  a\n  {%- endraw -%}\nb",
    "a\n  {#- c -#}\n b",
    "a\n  {# c #}\n b",
    "a\n  {#+ c +#}\n b",
    "{{ 1 }}  {% if 1 %}a{% endif %}",
    "{{ 1 }}\n  {% if 1 %}a{% endif %}",
    "{% if 1 %}  {% if 1 %}a{% endif %}{% endif %}",
    "{% if 1 %}\n  {% if 1 %}a{% endif %}{% endif %}",
    "{% set x %}\n a\n{% endset %}[{{ x }}]",
    "{% macro m() %}\n  a\n{% endmacro %}\n[{{ m() }}]",
    "{{ '\\\n' }}",
    "{%\n if true\n %}a{%\nendif\n%}",
    "{{\n1\n}}",
    "{{ 1 }}\n{%- for i in [1,2] %}\n- {{ i }}\n{%- endfor %}\nend",
]
