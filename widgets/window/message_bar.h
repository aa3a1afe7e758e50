// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QFrame>

#include <functional>

class QLabel;
class QPushButton;

/// A message above the pages that stays until it is closed: what happened, where, what can be done. Never modal.
class MessageBar final : public QFrame
{
    Q_OBJECT
public:
    explicit MessageBar(QWidget* parent = nullptr);

    void showFailure(const QString& title, const QString& details);
    /// An offer with a button that does it and closes the bar.
    void showOffer(const QString& title, const QString& details, const QString& button, std::function<void()> accept);
    QString text() const;

protected:
    void keyPressEvent(QKeyEvent* event) override;

private:
    void present(const QString& icon, const QString& title, const QString& details);

    QLabel* m_icon;
    QLabel* m_text;
    QPushButton* m_button;
    std::function<void()> m_accept;
};
