// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/text_steps.h"

#include <algorithm>
#include <span>

namespace quantloupe {
namespace {

std::string withReplacements(std::string_view text, std::string_view from, std::string_view to)
{
    std::string out;
    out.reserve(text.size() + text.size() / 4);
    std::size_t begin = 0;
    for (auto at = text.find(from); at != std::string_view::npos; at = text.find(from, begin)) {
        out += text.substr(begin, at - begin);
        out += to;
        begin = at + from.size();
    }
    out += text.substr(begin);
    return out;
}

std::string withSingleSpaces(std::string_view text)
{
    std::string out;
    for (const char c : text)
        if (c != ' ' || (!out.empty() && out.back() != ' '))
            out += c;
    if (out.ends_with(' '))
        out.pop_back();
    return out;
}

void splitByPattern(std::string_view text, const WordPattern& pattern, const WordVisitor& visit)
{
    std::size_t begin = 0;  // of what no match has taken
    for (std::size_t at = 0; at < text.size();) {
        const auto end = pattern.matchAt(text, at);
        if (end == at) {
            at += characterAt(text, at).length;
            continue;
        }
        if (begin < at)
            visit(text.substr(begin, at - begin));
        visit(text.substr(at, end - at));
        begin = at = end;
    }
    if (begin < text.size())
        visit(text.substr(begin));
}

bool splitsBefore(std::string_view text, std::size_t at, const SplitStep& step)
{
    return step.kind != SplitStep::Kind::SafeBoundary
        || !std::binary_search(step.unsafe.begin(), step.unsafe.end(), characterBefore(text, at).code);
}

void splitByLiteral(std::string_view text, const SplitStep& step, const WordVisitor& visit)
{
    using Kind = SplitStep::Kind;
    std::size_t begin = 0;
    const auto cut = [&](std::size_t at) {
        if (begin < at)
            visit(text.substr(begin, at - begin));
        begin = at;
    };
    for (auto at = text.find(step.literal); at != std::string_view::npos;
         at = text.find(step.literal, at + step.literal.size())) {
        if (step.kind != Kind::LiteralAfter && at > 0 && splitsBefore(text, at, step))
            cut(at);
        if (step.kind == Kind::LiteralAfter || step.kind == Kind::LiteralIsolated)
            cut(at + step.literal.size());
    }
    cut(text.size());
}

void splitFrom(std::string_view text, std::span<const SplitStep> steps, const WordVisitor& visit)
{
    if (steps.empty()) {
        if (!text.empty())
            visit(text);
        return;
    }
    const auto& step = steps.front();
    const auto rest = steps.subspan(1);
    const WordVisitor next =
        rest.empty() ? visit : [rest, &visit](std::string_view part) { splitFrom(part, rest, visit); };
    if (step.kind == SplitStep::Kind::Pattern)
        splitByPattern(text, *step.pattern, next);
    else
        splitByLiteral(text, step, next);
}

}  // namespace

std::string rewritten(std::string_view text, const std::vector<RewriteStep>& steps, bool textStart)
{
    using Kind = RewriteStep::Kind;
    std::string out(text);
    for (const auto& step : steps) {
        if (out.empty())
            break;
        switch (step.kind) {
        case Kind::Prepend: out.insert(0, step.to); break;
        case Kind::PrependUnlessThere:
            if (!out.starts_with(step.to))
                out.insert(0, step.to);
            break;
        case Kind::PrependAtStart:
            if (textStart && !out.starts_with(step.to))
                out.insert(0, step.to);
            break;
        case Kind::Replace: out = withReplacements(out, step.from, step.to); break;
        case Kind::NormalForm: out = inNormalForm(out, step.form); break;
        case Kind::CollapseSpaces: out = withSingleSpaces(out); break;
        }
    }
    return out;
}

void splitIntoWords(std::string_view text, const std::vector<SplitStep>& steps, const WordVisitor& visit)
{
    splitFrom(text, steps, visit);
}

}  // namespace quantloupe
