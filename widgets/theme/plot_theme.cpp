// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/theme/plot_theme.h"

#include "widgets/theme/theme.h"

#include <QCoreApplication>

using quantloupe::TensorRole;

namespace {

QColor mixed(const QColor& a, const QColor& b, float share)
{
    const auto blend = [share](float x, float y) { return x + (y - x) * share; };
    return QColor::fromRgbF(
        blend(a.redF(), b.redF()), blend(a.greenF(), b.greenF()), blend(a.blueF(), b.blueF()), 1.0F);
}

QColor translucent(QColor color, float alpha)
{
    color.setAlphaF(alpha);
    return color;
}

}  // namespace

PlotTheme PlotTheme::of(const QPalette& palette)
{
    PlotTheme theme;
    theme.dark = isDark(palette);
    theme.background = palette.color(QPalette::Base);
    theme.text = palette.color(QPalette::Text);
    theme.mutedText = mixed(theme.text, theme.background, theme.dark ? 0.30F : 0.32F);
    theme.axis = mixed(theme.text, theme.background, 0.50F);
    theme.grid = mixed(theme.text, theme.background, theme.dark ? 0.86F : 0.90F);
    theme.accent = theme.dark ? QColor(0x5aade8) : QColor(0x0a6cb3);
    theme.accentFill = translucent(theme.accent, theme.dark ? 0.34F : 0.26F);
    theme.original = theme.dark ? QColor(0xa4abb5) : QColor(0x7d8590);
    theme.originalFill = translucent(theme.original, theme.dark ? 0.42F : 0.38F);
    theme.warning = theme.dark ? QColor(0xff8a4c) : QColor(0xd55e00);
    theme.reference = theme.dark ? QColor(0xc9ced6) : QColor(0x4a5058);
    if (theme.dark)
        theme.series = {
            QColor(0xff8a4c), QColor(0x2fc79a), QColor(0xe29bc6), QColor(0xf2c14e), QColor(0x9fd3f5), QColor(0xb6a3f0)};
    else
        theme.series = {
            QColor(0xd55e00), QColor(0x008a65), QColor(0xb5568c), QColor(0xc98600), QColor(0x2f7fb8), QColor(0x6a51a3)};
    return theme;
}

QColor roleColor(TensorRole role, bool dark)
{
    switch (role) {
    case TensorRole::Query: return dark ? 0x2f8fd0 : 0x0072b2;
    case TensorRole::Key: return dark ? 0x63b3e6 : 0x3f9bd3;
    case TensorRole::Value: return dark ? 0xa6d5f5 : 0x86c3ea;
    case TensorRole::Output: return dark ? 0x1c6aa8 : 0x0b4a77;
    case TensorRole::QueryKeyValue: return dark ? 0x47a1de : 0x1f86c4;
    case TensorRole::Gate: return dark ? 0xe69f00 : 0xe69f00;
    case TensorRole::Up: return dark ? 0xf4c768 : 0xf2c265;
    case TensorRole::Down: return dark ? 0xe26d1a : 0xd55e00;
    case TensorRole::GateUp: return dark ? 0xedb335 : 0xecb030;
    case TensorRole::Embedding: return dark ? 0x1fb58a : 0x009e73;
    case TensorRole::Position: return dark ? 0x7fd8ba : 0x66c6a6;
    case TensorRole::LmHead: return dark ? 0xd98bb5 : 0xcc79a7;
    case TensorRole::Router: return dark ? 0xa58be0 : 0x7a5fc0;
    case TensorRole::Norm: return dark ? 0x9aa1ab : 0x8b929c;
    case TensorRole::Bias: return dark ? 0xc2c7ce : 0xb9bfc7;
    case TensorRole::Other: break;
    }
    return dark ? 0x767d87 : 0x666c75;
}

QString roleText(TensorRole role)
{
    const auto tr = [](const char* text) { return QCoreApplication::translate("Role", text); };
    switch (role) {
    case TensorRole::Embedding: return tr(QT_TRANSLATE_NOOP("Role", "Embedding"));
    case TensorRole::Position: return tr(QT_TRANSLATE_NOOP("Role", "Position"));
    case TensorRole::LmHead: return tr(QT_TRANSLATE_NOOP("Role", "LM head"));
    case TensorRole::Query: return tr(QT_TRANSLATE_NOOP("Role", "Query"));
    case TensorRole::Key: return tr(QT_TRANSLATE_NOOP("Role", "Key"));
    case TensorRole::Value: return tr(QT_TRANSLATE_NOOP("Role", "Value"));
    case TensorRole::Output: return tr(QT_TRANSLATE_NOOP("Role", "Output"));
    case TensorRole::QueryKeyValue: return tr(QT_TRANSLATE_NOOP("Role", "Query/key/value"));
    case TensorRole::Gate: return tr(QT_TRANSLATE_NOOP("Role", "Gate"));
    case TensorRole::Up: return tr(QT_TRANSLATE_NOOP("Role", "Up"));
    case TensorRole::Down: return tr(QT_TRANSLATE_NOOP("Role", "Down"));
    case TensorRole::GateUp: return tr(QT_TRANSLATE_NOOP("Role", "Gate/up"));
    case TensorRole::Router: return tr(QT_TRANSLATE_NOOP("Role", "Router"));
    case TensorRole::Norm: return tr(QT_TRANSLATE_NOOP("Role", "Norm"));
    case TensorRole::Bias: return tr(QT_TRANSLATE_NOOP("Role", "Bias"));
    case TensorRole::Other: break;
    }
    return tr(QT_TRANSLATE_NOOP("Role", "Other"));
}

std::array<TensorRole, 16> rolesInOrder()
{
    using enum TensorRole;
    return {Embedding, Position, Query, Key, Value, QueryKeyValue, Output, Gate, Up, GateUp, Down, Router, LmHead, Norm,
        Bias, Other};
}
