// Sends an authorization response to the client (response mode form_post).
// Without it the button of the page does.
document.getElementById('form-post').submit();
