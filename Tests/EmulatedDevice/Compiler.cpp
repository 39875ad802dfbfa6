// Stands in for NVRTC: rewrites a kernel's text into C++ and has the machine's C++ compiler make a shared library of it.
// The "cubin" is a magic number, a length and that library.
//
//   asm("mnemonic …" : outputs : inputs)        emu_mnemonic(outputs, inputs)
//   extern __shared__ T name[]                  T *name = (T *)emu_dynamic_shared()
//   #pragma unroll                              nothing: it would only take time
//   __syncthreads()                             nothing, if GDN_EMULATED_MUTATION is set: a check must notice
//
// GDN_EMULATED_CXX names the compiler (clang++), GDN_EMULATED_HEADER the folder of Kernel.h (that of this library).
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Program {
    std::string text, name, log, cubin;
};

[[noreturn]] void refuse(const std::string &what) { throw std::runtime_error(what); }

// End of the parenthesis, string or character literal opened at `at`.
size_t close(const std::string &s, size_t at) {
    int depth = 0;
    for (; at < s.size(); at++) {
        if (s[at] == '"') {
            for (at++; at < s.size() && s[at] != '"'; at++)
                if (s[at] == '\\') at++;
        } else if (s[at] == '(') {
            depth++;
        } else if (s[at] == ')' && --depth == 0) {
            return at;
        }
    }
    refuse("unbalanced parentheses");
}

// Text between parentheses of all `"constraint"(expression)`.
std::vector<std::string> operands(const std::string &section) {
    std::vector<std::string> found;
    for (size_t at = 0; (at = section.find('(', at)) != std::string::npos;) {
        size_t end = close(section, at);
        found.push_back(section.substr(at + 1, end - at - 1));
        at = end;
    }
    return found;
}

// Cuts at colons outside of parentheses and strings; "::" are two.
std::vector<std::string> sections(const std::string &s) {
    std::vector<std::string> parts(1);
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < s.size(); i++) {
        char c = s[i];
        if (c == '"' && (i == 0 || s[i - 1] != '\\')) quoted = !quoted;
        if (!quoted) depth += (c == '(') - (c == ')');
        if (c == ':' && !quoted && depth == 0) parts.emplace_back();
        else parts.back() += c;
    }
    return parts;
}

std::string call(const std::string &body) {
    std::vector<std::string> parts = sections(body);
    std::string text;
    static const std::regex literal("\"([^\"]*)\"");
    for (std::sregex_iterator i(parts[0].begin(), parts[0].end(), literal), end; i != end; ++i) text += (*i)[1];
    size_t first = text.find_first_not_of(" \t"), last = text.find_first_of(" ;\t", first);
    if (text.find(';') != std::string::npos && text.find(';') + 1 < text.find_last_not_of(" \t\\nrt") + 1)
        refuse("asm of several instructions: " + text);
    std::string name = "emu_" + text.substr(first, last - first), arguments;
    for (char &c : name)
        if (!isalnum((unsigned char)c)) c = '_';
    for (size_t part = 1; part < parts.size() && part < 3; part++)
        for (const std::string &operand : operands(parts[part])) arguments += (arguments.empty() ? "" : ", ") + operand;
    return name + "(" + arguments + ")";
}

std::string without_assembly(std::string s) {
    static const std::regex keyword("\\basm(\\s+volatile)?\\s*\\(");
    std::smatch match;
    std::string out;
    while (std::regex_search(s, match, keyword)) {
        size_t open = match.position() + match.length() - 1, end = close(s, open);
        out += s.substr(0, match.position()) + call(s.substr(open + 1, end - open - 1));
        s = s.substr(end + 1);
    }
    return out + s;
}

bool mutates();

std::string rewritten(std::string s) {
    s = without_assembly(s);
    s = std::regex_replace(
        s, std::regex("extern\\s+__shared__\\s+(?:__align__\\(\\d+\\)\\s+)?((?:unsigned\\s+)?\\w+)\\s+(\\w+)\\[\\]"),
        "$1 *$2 = ($1 *)emu_dynamic_shared()");
    if (mutates()) s = std::regex_replace(s, std::regex("__syncthreads\\(\\)"), "");
    s = std::regex_replace(s, std::regex("#pragma\\s+unroll[^\\n]*"), "");
    return std::regex_replace(s, std::regex("_Pragma\\(\"unroll[^\"]*\"\\)"), "");
}

bool mutates() { return getenv("GDN_EMULATED_MUTATION") != nullptr; }

std::string read(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
}
void write(const std::string &path, const std::string &bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string setting(const char *name, const std::string &otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

std::string own_folder() {
    Dl_info info;
    dladdr((void *)&own_folder, &info);
    std::string path = info.dli_fname;
    return path.substr(0, path.rfind('/'));
}

std::string quoted(const std::string &s) { return "'" + s + "'"; }

void compile(Program &program, const std::vector<std::string> &options) {
    char folder[] = "/tmp/gdn-emulated-XXXXXX";
    if (!mkdtemp(folder)) refuse("no temporary folder");
    std::string base = std::string(folder) + "/kernel", log = base + ".log";
    std::string compiler = setting("GDN_EMULATED_CXX", "clang++"), defines;
    for (const std::string &option : options)
        if (option.rfind("-D", 0) == 0) defines += " " + quoted(option);
    write(base + ".in.cpp", rewritten(program.text));
    auto run = [&](const std::string &command) {
        if (system((command + " 2>>" + quoted(log)).c_str()) != 0) {
            program.log = read(log);
            refuse("the C++ compiler failed: " + command);
        }
    };
    // Macros first, so that the names of kernels can be read.
    run(compiler + " -std=c++17 -E -P" + defines + " -o " + base + ".cpp " + base + ".in.cpp");
    std::string text = read(base + ".cpp");
    text = std::regex_replace(text, std::regex("__launch_bounds__\\s*\\(([^()]|\\([^()]*\\))*\\)"), "");
    static const std::regex kernel("__global__\\s+void\\s+(\\w+)\\s*\\(");
    std::set<std::string> names;
    for (std::sregex_iterator i(text.begin(), text.end(), kernel), end; i != end; ++i) names.insert((*i)[1]);
    text = std::regex_replace(text, std::regex("__global__"), "");
    for (const std::string &name : names) text += "\nEMU_KERNEL(" + name + ")";
    write(base + ".cpp", text + "\n");
    run(compiler + " -std=c++17 -O1 -g1 -fPIC -shared -march=native -ffp-contract=fast -fno-strict-aliasing -w -include "
        + quoted(setting("GDN_EMULATED_HEADER", own_folder()) + "/Kernel.h") + " -o " + base + ".so " + base + ".cpp");
    std::string library = read(base + ".so");
    uint64_t head[2] = {0x554d454e44470001, library.size()};
    program.cubin.assign((const char *)head, sizeof head);
    program.cubin += library;
    for (const char *end : {".in.cpp", ".cpp", ".so", ".log"}) unlink((base + end).c_str());
    rmdir(folder);
}

}  // namespace

extern "C" {

int nvrtcVersion(int *major, int *minor) { return *major = 13, *minor = mutates() ? 9002 : 9001, 0; }
int nvrtcCreateProgram(Program **program, const char *text, const char *name, int, const void *, const void *) {
    *program = new Program{text, name, "", ""};
    return 0;
}
int nvrtcCompileProgram(Program *program, int count, const char *const *options) {
    try {
        compile(*program, std::vector<std::string>(options, options + count));
        return 0;
    } catch (const std::exception &error) {
        program->log = std::string(error.what()) + "\n" + program->log;
        return 6;
    }
}
int nvrtcGetCUBINSize(Program *program, size_t *size) { return *size = program->cubin.size(), 0; }
int nvrtcGetCUBIN(Program *program, char *to) { return memcpy(to, program->cubin.data(), program->cubin.size()), 0; }
int nvrtcGetProgramLogSize(Program *program, size_t *size) { return *size = program->log.size() + 1, 0; }
int nvrtcGetProgramLog(Program *program, char *to) { return memcpy(to, program->log.c_str(), program->log.size() + 1), 0; }
int nvrtcDestroyProgram(Program **program) { return delete *program, *program = nullptr, 0; }
}
